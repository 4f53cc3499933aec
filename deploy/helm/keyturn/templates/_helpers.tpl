{{- define "keyturn.selector" -}}
app.kubernetes.io/name: keyturn
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "keyturn.labels" -}}
{{ include "keyturn.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "keyturn.image" -}}
{{- with .Values.image -}}
{{ required "image.repository is missing: build the image from the Dockerfile of the repository, push it, and name it there" .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* The names of the accounts. A second release never shares an account by oversight: their records differ. */}}
{{- define "keyturn.accounts" -}}
{{- if kindIs "slice" .Values.accounts }}
{{- if not (or .Values.accounts .Values.crds.install) }}
{{- fail "accounts is empty: with crds.install=false another release may work on the same accounts, with other records. Name those of this release, or set accounts=all if there is no other one" }}
{{- end }}
{{- toYaml .Values.accounts }}
{{- else -}}
[]
{{- end }}
{{- end }}

{{/* A Role of the operator, and its binding: of a namespace or, without one, of the cluster. */}}
{{- define "keyturn.role" -}}
{{- $kind := ternary "Role" "ClusterRole" (not (empty .namespace)) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "keyturn.labels" .root | nindent 4 }}
rules:
{{ .rules | trim }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "keyturn.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
- kind: ServiceAccount
  name: {{ .root.Release.Name }}
  namespace: {{ .root.Release.Namespace }}
{{- end }}
