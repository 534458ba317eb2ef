# shellcheck shell=bash
# The command line of each daemon, and the files that containerd reads.

# Writes standard input to a file, if that changes it: a file's time is part of a daemon's fingerprint.
put() { # FILE
  local new=$1.new
  cat > "$new"
  if cmp -s "$new" "$1"; then rm -f "$new"; else mv "$new" "$1"; fi
}

# What the API server is told besides addresses and files; --control-plane-only says the same.
api_flags=(--authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged=true
  --service-cluster-ip-range "$service_cidr" --service-account-issuer https://kubernetes.default.svc.cluster.local)

command_of() { # NAME: sets cmd
  local pki=$conf/pki
  case $1 in
    raftstore) cmd=("$(program raftstore)" --name "$node" --data-dir "$etcd"
      --listen-client-urls https://127.0.0.1:2379 --advertise-client-urls https://127.0.0.1:2379
      --listen-peer-urls https://127.0.0.1:2380 --initial-advertise-peer-urls https://127.0.0.1:2380
      --initial-cluster "$node=https://127.0.0.1:2380" --listen-metrics-urls http://127.0.0.1:2381
      --client-cert-auth --trusted-ca-file "$pki/etcd/ca.crt"
      --cert-file "$pki/etcd/server.crt" --key-file "$pki/etcd/server.key"
      --peer-client-cert-auth --peer-trusted-ca-file "$pki/etcd/ca.crt"
      --peer-cert-file "$pki/etcd/peer.crt" --peer-key-file "$pki/etcd/peer.key") ;;
    kube-apiserver) cmd=("$(program kube-apiserver)" --advertise-address "$ip" --secure-port "$port"
      --etcd-servers https://127.0.0.1:2379 --etcd-cafile "$pki/etcd/ca.crt"
      --etcd-certfile "$pki/apiserver-etcd-client.crt" --etcd-keyfile "$pki/apiserver-etcd-client.key"
      --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt"
      --tls-private-key-file "$pki/apiserver.key" "${api_flags[@]}"
      --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key"
      --kubelet-client-certificate "$pki/apiserver-kubelet-client.crt"
      --kubelet-client-key "$pki/apiserver-kubelet-client.key"
      --kubelet-certificate-authority "$pki/ca.crt"
      --kubelet-preferred-address-types InternalIP,Hostname) ;;
    kube-controller-manager) cmd=("$(program kube-controller-manager)" --kubeconfig "$conf/controller-manager.conf"
      --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/sa.key" --bind-address 127.0.0.1) ;;
    kube-scheduler) cmd=("$(program kube-scheduler)" --kubeconfig "$conf/scheduler.conf" --bind-address 127.0.0.1) ;;
    containerd) cmd=("$(command -v containerd)" -c "$state/containerd.toml") ;;
    kubelet) cmd=("$(program kubelet)" --kubeconfig "$conf/kubelet.conf" --hostname-override "$node" --node-ip "$ip"
      --root-dir "$kubelet" --container-runtime-endpoint "unix://$run/containerd.sock"
      --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/kubelet.crt" --tls-private-key-file "$pki/kubelet.key"
      --anonymous-auth=false --authentication-token-webhook --authorization-mode Webhook
      --cluster-domain cluster.local --pod-cidr "$node_cidr" --pod-logs-dir "$log/pods") ;;
    kube-proxy) cmd=("$(program kube-proxy)" --kubeconfig "$conf/kube-proxy.conf" --hostname-override "$node"
      --cluster-cidr "$pod_cidr") ;;
  esac
}

containerd_files() {
  # Without CAP_SYS_RESOURCE (a machine that is itself a container) no process can be made less likely to be killed.
  local caps restrict=false
  caps=$(awk '/^CapEff/ {print $2}' /proc/self/status)
  ((0x$caps >> 24 & 1)) || restrict=true
  put "$state/containerd.toml" <<T
version = 2
root = "$state/containerd"
state = "$run/containerd"
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = $restrict
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni/net.d"
T
  put "$state/cni/net.d/10-kubec.conflist" <<T
{"cniVersion": "0.4.0", "name": "$network", "plugins": [
  {"type": "bridge", "bridge": "$bridge", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$run/cni",
            "ranges": [[{"subnet": "$node_cidr"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}]}
T
}
