// Package deploy holds what is in deploy/ for Kubernetes and Compose to their schemas,
// offline. It is a module of its own so that the program's go.mod stays small.
package deploy
