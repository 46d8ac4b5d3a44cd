#!/bin/sh
# A Kubeflow Pipelines cluster on this machine, with what the environment `kind` expects of it:
#
#   containers/cluster.sh start   kind, a registry, KFP's own manifests and a bucket that speaks Cloud Storage's API
#   containers/cluster.sh stop    deletes all of it, and what was published to the bucket
#
# Needs docker, kind (0.27 or newer), kubectl, git and curl. pipeline/environments/kind.yaml has its addresses.
set -eu

here=$(dirname "$0")
cluster=mnist
kfp_version=$(sed -n 's/^kfp==\([^ ]*\).*/\1/p' "$here/../requirements/kfp.in")
manifests=https://github.com/kubeflow/pipelines/manifests/kustomize
# A network of known addresses: tasks and this machine reach the bucket by the same one.
network=kind
subnet=172.30.77.0/24
bucket_ip=172.30.77.200
registry_port=5001

say() { echo "cluster: $*" >&2; }

start_nodes() {
    docker network inspect "$network" >/dev/null 2>&1 || docker network create --subnet "$subnet" "$network" >/dev/null
    kind create cluster --name "$cluster" --wait 5m --config - <<END
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  extraPortMappings:
  - { containerPort: 30888, hostPort: 8888, listenAddress: 127.0.0.1 }
END
}

# https://kind.sigs.k8s.io/docs/user/local-registry: nodes find `localhost:5001` where this machine does.
start_registry() {
    docker run --detach --name "$cluster-registry" --network "$network" \
        --publish "127.0.0.1:$registry_port:5000" registry:2.8.3 >/dev/null
    hosts=/etc/containerd/certs.d/localhost:$registry_port
    for node in $(kind get nodes --name "$cluster"); do
        docker exec "$node" mkdir -p "$hosts"
        echo "[host.\"http://$cluster-registry:5000\"]" | docker exec -i "$node" cp /dev/stdin "$hosts/hosts.toml"
    done
}

start_bucket() {
    docker run --detach --name "$cluster-bucket" --network "$network" --ip "$bucket_ip" \
        fsouza/fake-gcs-server:1.52.1 -scheme http -port 4443 -backend memory \
        -external-url "http://$bucket_ip:4443" >/dev/null
    curl --silent --show-error --fail --retry 30 --retry-delay 1 --retry-all-errors --output /dev/null \
        --json '{"name": "mnist"}' "http://$bucket_ip:4443/storage/v1/b?project=mnist"
}

start_pipelines() {
    kube() { kubectl --context "kind-$cluster" "$@"; }
    kube apply --kustomize "$manifests/cluster-scoped-resources?ref=$kfp_version"
    kube wait --for condition=established --timeout 60s crd/applications.app.k8s.io
    kube apply --kustomize "$manifests/env/platform-agnostic?ref=$kfp_version"
    kube --namespace kubeflow patch service ml-pipeline --patch \
        '{"spec": {"type": "NodePort", "ports": [{"port": 8888, "nodePort": 30888}]}}'
    kube --namespace kubeflow wait --for condition=available --timeout 15m deployment --all
    curl --silent --show-error --fail --retry 30 --retry-delay 2 --retry-all-errors --output /dev/null \
        http://127.0.0.1:8888/apis/v2beta1/healthz
}

stop() {
    kind delete cluster --name "$cluster"
    docker rm --force "$cluster-registry" "$cluster-bucket" >/dev/null
}

case "${1:-}" in
start)
    say "nodes, a registry on localhost:$registry_port and a bucket"
    start_nodes
    start_registry
    start_bucket
    say "Kubeflow Pipelines $kfp_version; its images take minutes to pull"
    start_pipelines
    ;;
stop) stop ;;
*)
    echo "usage: $0 start|stop" >&2
    exit 2
    ;;
esac
