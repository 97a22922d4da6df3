package complaint

import (
	"errors"

	"github.com/chopmark/chopmark/internal/picture"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// PhotoBytesMax bounds a photo.
const PhotoBytesMax = 2 << 20

// What is wrong with a photo.
var (
	ErrPhotoTooLarge = fault.New(fault.TooLarge, "complaint.photo_too_large", "the photo has more than %d bytes", PhotoBytesMax)
	ErrPhotoKind     = fault.New(fault.Unsupported, "complaint.photo_kind", "the photo must be JPEG, PNG or WebP")
	ErrPhotoDamaged  = fault.Field("complaint.photo_damaged", "photo", "cannot be read, or has too many pixels")
)

// cleanPhoto is picture.Clean in the words of complaints.
func cleanPhoto(raw []byte) ([]byte, picture.Kind, error) {
	if len(raw) > PhotoBytesMax {
		return nil, picture.None, ErrPhotoTooLarge
	}
	clean, kind, err := picture.Clean(raw)
	switch {
	case errors.Is(err, picture.ErrKind):
		err = ErrPhotoKind
	case err != nil:
		err = ErrPhotoDamaged
	}
	return clean, kind, err
}
