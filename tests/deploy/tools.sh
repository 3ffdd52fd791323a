# The Go programs that check deploy/: sourced. Debian does not have them; each is built once, where `go install` puts it.
kubeconform=github.com/yannh/kubeconform/cmd/kubeconform@v0.6.7
kustomize=sigs.k8s.io/kustomize/kustomize/v5@v5.4.3
helm=helm.sh/helm/v3/cmd/helm@v3.14.4

# go_tools: installs what is missing and puts all on PATH.
go_tools() {
  local tool
  command -v go >/dev/null || fail "no go on PATH, which builds kubeconform, kustomize and helm"
  PATH=$PATH:$(go env GOPATH)/bin
  for tool in kubeconform kustomize helm; do
    command -v "$tool" >/dev/null || {
      say "go install ${!tool}"
      GOFLAGS=-p=$jobs go install "${!tool}" || fail "go install ${!tool} failed"
    }
  done
  export PATH
}
