// Command kstatus reads objects of Kubernetes as a JSON array, and prints what kstatus of cli-utils says of each: the
// computation with which Flux and others wait for an object.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type answer struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var objects []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		return err
	}
	answers := make([]answer, 0, len(objects))
	for _, text := range objects {
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(text); err != nil {
			return err
		}
		found, err := status.Compute(&object)
		if err != nil {
			return err
		}
		answers = append(answers, answer{found.Status.String(), found.Message})
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}
