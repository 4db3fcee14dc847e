{{- define "speechsum.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "speechsum.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "speechsum.labels" -}}
{{ include "speechsum.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "speechsum.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "speechsum.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "speechsum.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default (ternary "gpu" "cpu" .Values.gpu.enabled)) -}}
{{- end -}}

{{/* Whether the database and the queued recordings are outside the pod. */}}
{{- define "speechsum.isShared" -}}
{{- if and .Values.database.secretName .Values.blobs.url -}}true{{- end -}}
{{- end -}}

{{/* Whether a volume of the pod holds the database or the queued recordings. */}}
{{- define "speechsum.hasStateVolume" -}}
{{- if and .Values.persistence.state.enabled (not (include "speechsum.isShared" .)) -}}true{{- end -}}
{{- end -}}

{{/* Whether there may be more than one pod. */}}
{{- define "speechsum.isReplicated" -}}
{{- if or (gt (int .Values.replicas) 1) .Values.autoscaling.kind -}}true{{- end -}}
{{- end -}}

{{/* Ends the rendering where values do not fit together. */}}
{{- define "speechsum.check" -}}
{{- if include "speechsum.isReplicated" . -}}
{{- if not (include "speechsum.isShared" .) -}}
{{- fail "More than one replica needs database.secretName and blobs.url: otherwise each would have keys and jobs of its own." -}}
{{- end -}}
{{- $cache := .Values.persistence.cache -}}
{{- if and $cache.enabled (not $cache.perPod) (not $cache.existingClaim) (not (has "ReadWriteMany" $cache.accessModes)) -}}
{{- fail "More than one replica needs persistence.cache.perPod, or an access mode ReadWriteMany in persistence.cache.accessModes." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.blobs.url (not (hasPrefix "s3://" .Values.blobs.url)) -}}
{{- fail "blobs.url must begin with s3://." -}}
{{- end -}}
{{- end -}}
