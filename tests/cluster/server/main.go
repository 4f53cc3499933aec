// Command cluster is a Kubernetes control plane for tests: etcd, the API server, and the two controllers that collect
// garbage and end namespaces. There is no scheduler and no kubelet: nothing runs in it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/etcdmain"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/cli"
	"k8s.io/controller-manager/pkg/informerfactory"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: cluster etcd|apiserver|controllers ARGUMENTS"))
	}
	mode := os.Args[1]
	arguments := append([]string{os.Args[0]}, os.Args[2:]...)
	switch mode {
	case "etcd":
		etcdmain.Main(arguments)
	case "apiserver":
		os.Args = arguments
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "controllers":
		fail(controllers(arguments[1]))
	default:
		fail(fmt.Errorf("no such mode: %s", mode))
	}
}

// controllers runs the garbage collector and the namespace controller until it is told to stop.
func controllers(kubeconfig string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	client, meta := kubernetes.NewForConfigOrDie(config), metadata.NewForConfigOrDie(config)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	typed, untyped := informers.NewSharedInformerFactory(client, 0), metadatainformer.NewSharedInformerFactory(meta, 0)
	started := make(chan struct{})
	collector, err := garbagecollector.NewGarbageCollector(ctx, client, meta, mapper,
		garbagecollector.DefaultIgnoredResources(), informerfactory.NewInformerFactory(typed, untyped), started)
	if err != nil {
		return err
	}
	namespaces := namespace.NewNamespaceController(ctx, client, meta, client.Discovery().ServerPreferredNamespacedResources,
		typed.Core().V1().Namespaces(), 5*time.Minute, v1.FinalizerKubernetes)
	typed.Start(ctx.Done())
	untyped.Start(ctx.Done())
	close(started)
	go collector.Run(ctx, 5, 5*time.Second)
	go collector.Sync(ctx, client.Discovery(), 2*time.Second)
	namespaces.Run(ctx, 5)
	return nil
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
