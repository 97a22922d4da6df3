// Package arch holds the rules that keep Chopmark readable, as tests over the
// source tree. It has no code of its own to import.
//
// The promise: a change that bends the shape of the program fails here, with the
// file, the line and the rule, before a reviewer has to see it. The rules are
//
//  1. A core imports no other core, no engine, no net/http and no database/sql.
//  2. Edges, engines and outlets (what takes a domain's facts to Kafka) import their own
//     core; only internal/app wires domains.
//  3. Every engine runs its domain's suite; a domain with one engine says why.
//  4. SQL is constant text over its own domain's tables; clients of other
//     programs (Redis, Kafka, Pebble, QUIC) stay in their platform package and
//     the engines.
//  5. Hand-written files, functions and interfaces have a limit, and no package
//     has a name that says nothing.
//  6. Every path and every test named in prose exists, and every silenced linter
//     says why.
//  7. No init, no package variable that changes, no guessable randomness, and one
//     door to the wall clock.
//
// Each rule is a function over a tree that was read from an fs.FS, so
// TestPlantedViolations can plant a breach of every clause and see it caught,
// while TestTree runs the same functions over the real source. A breach that is
// right in its place is one line with its reason in exceptions_test.go; an
// exception that excuses nothing any more is itself a failure.
package arch
