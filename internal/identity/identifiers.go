package identity

import (
	"context"
	"errors"
)

// identifier is where an account keeps what it is found by through a channel.
func (c *Consumer) identifier(by Channel) *Hash {
	if by == Mail {
		return &c.Email
	}
	return &c.Phone
}

// AddIdentifier lets a consumer sign in by a further number or address, by the code that was
// sent there. Without the code nobody is told whether another account has it; what the account
// has already needs none, so a retry has the answer of the first.
func (s *Service) AddIdentifier(ctx context.Context, id ConsumerID, t Target, code string) error {
	h := s.secrets.lookup(t.kind(), t.To)
	c, err := s.store.Consumer(ctx, id)
	if err != nil || *c.identifier(t.Channel) == h {
		return wrap("read a consumer", err)
	}
	if err := s.useCode(ctx, t, code); err != nil {
		return err
	}
	for { // until no other identifier is added at the same time: there are two
		if err = s.addIdentifier(ctx, c, t, h); !errors.Is(err, ErrConsumerRaced) {
			return err
		}
		if c, err = s.store.Consumer(ctx, id); err != nil {
			return wrap("read a consumer again", err)
		}
	}
}

func (s *Service) addIdentifier(ctx context.Context, c Consumer, t Target, h Hash) error {
	if c.State != Active {
		return ErrUnknownConsumer
	}
	at := c.identifier(t.Channel)
	if *at != (Hash{}) {
		return ErrIdentifierThere
	}
	was := c.Sealed
	person, err := s.secrets.open(c.ID.Owner(), was)
	if err != nil {
		return err
	}
	switch *at = h; t.Channel {
	case Mail:
		person.Email = t.To
	default:
		person.Phone = t.To
	}
	if c.Sealed, err = s.secrets.seal(c.ID.Owner(), person); err != nil {
		return err
	}
	return wrap("add an identifier", s.store.ChangeConsumer(ctx, was, c))
}
