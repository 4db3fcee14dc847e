#!/usr/bin/env bash
# Writes deploy/kubernetes/*.yaml: the objects of the chart for those who use no Helm. Alerts and dashboard are left out,
# which are in deploy/prometheus and deploy/grafana. HELM is the program, by default the one of `make deploy-tools`.
#   deploy/helm/render_examples.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-deploy/kubernetes}
render() {  # NAME OPTION…
  local name=$1; shift
  {
    echo "# Written by deploy/helm/render_examples.sh from deploy/helm/speechsum: kubectl apply --namespace speechsum -f $name.yaml"
    "${HELM:-var/deploy-tools/bin/helm}" template speechsum deploy/helm/speechsum --namespace speechsum \
      --set monitoring.prometheusRule.enabled=false --set monitoring.dashboard.enabled=false "$@"
  } > "$folder/$name.yaml"
}
render default
for example in deploy/helm/speechsum/examples/*.yaml; do
  name=$(basename "$example" .yaml)
  render "$name" -f "$example"
done
