// Declares the key that data.json describes, by the generated SDK.
package main

import (
	"encoding/json"
	"os"

	"example.com/pulumi-keyturn/sdk/go/keyturn"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

type inputs struct {
	Name            string
	RotationTrigger string
	Targets         map[string]map[string]string
	Deliver         []struct{ Target, Path, Field string }
	Records         struct{ Target, Prefix string }
	Smoke           struct{ Model string }
	Timing          map[string]string
}

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		var given inputs
		text, err := os.ReadFile("data.json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &given); err != nil || given.Name == "" {
			return err
		}
		key, err := keyturn.NewModelAccessKey(ctx, "bot", arguments(given))
		if err != nil {
			return err
		}
		ctx.Export("digest", key.Digest)
		ctx.Export("deliveries", key.Deliveries)
		return nil
	})
}

func arguments(given inputs) *keyturn.ModelAccessKeyArgs {
	targets := pulumi.MapMap{}
	for name, settings := range given.Targets {
		target := pulumi.Map{}
		for setting, value := range settings {
			target[setting] = pulumi.String(value)
		}
		targets[name] = target
	}
	deliver := keyturn.DeliverArray{}
	for _, one := range given.Deliver {
		place := keyturn.DeliverArgs{Target: pulumi.String(one.Target), Path: pulumi.String(one.Path)}
		place.Field = pulumi.String(one.Field)
		deliver = append(deliver, place)
	}
	args := &keyturn.ModelAccessKeyArgs{
		Name:    pulumi.String(given.Name),
		Targets: targets,
		Deliver: deliver,
		Records: keyturn.RecordsArgs{
			Target: pulumi.String(given.Records.Target),
			Prefix: pulumi.String(given.Records.Prefix),
		},
		Smoke: keyturn.SmokeArgs{Model: pulumi.String(given.Smoke.Model)},
		Timing: keyturn.TimingArgs{
			Delivery:    pulumi.String(given.Timing["delivery"]),
			Settle:      pulumi.String(given.Timing["settle"]),
			Lease:       pulumi.String(given.Timing["lease"]),
			Propagation: pulumi.String(given.Timing["propagation"]),
			Request:     pulumi.String(given.Timing["request"]),
		},
	}
	if given.RotationTrigger != "" {
		args.RotationTrigger = pulumi.Any(given.RotationTrigger)
	}
	return args
}
