{{- define "chopmark.version" -}}{{ .Values.image.tag | default .Chart.AppVersion }}{{- end }}
{{- define "chopmark.selector" -}}
app.kubernetes.io/name: chopmark
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}
{{- define "chopmark.labels" -}}
{{ include "chopmark.selector" . }}
app.kubernetes.io/version: {{ include "chopmark.version" .root | quote }}
version: {{ include "chopmark.version" .root | quote }}
{{- end }}
{{- define "chopmark.name" -}}{{ .root.Release.Name }}-{{ .role }}{{- end }}
{{- define "chopmark.secretEnv" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}, optional: true}}
{{- end }}
{{- define "chopmark.pod" -}}
{{- $v := .root.Values -}}
{{- $cluster := ne .role "all" -}}
metadata:
  labels: {{- include "chopmark.labels" . | nindent 4 }}
  annotations:
    checksum/config: {{ toYaml $v.config | sha256sum }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 60 # drain 25 s, consumers 10 s, traces 5 s
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "chopmark.selector" $ | nindent 10 }}
    {{- end }}
  containers:
    - name: chopmark
      image: "{{ $v.image.repository }}:{{ include "chopmark.version" .root }}"
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args:
        - serve
        - --config=/etc/chopmark/chopmark.yaml
        - --data=/data
        - --listen=0.0.0.0:8080
        - --grpc-listen=0.0.0.0:8081
        - --target={{ .role }}
        {{- if $cluster }}
        - --role-cert=/roles/{{ .role }}.pem
        - --role-key=/roles/{{ .role }}-key.pem
        - --role-ca=/roles/ca.pem
        {{- end }}
        {{- if eq .role "issue" }}
        - --role-listen=0.0.0.0:8082
        {{- end }}
        {{- if eq .role "edge" }}
        - --join=https://{{ .root.Release.Name }}-issue:8082
        {{- end }}
        {{- if and $v.kafka (ne .role "edge") }}
        - --kafka={{ $v.kafka }}
        {{- end }}
      env:
        {{- if $v.publicURL }}
        - {name: CHOPMARK_PUBLIC_URL, value: {{ $v.publicURL | quote }}}
        {{- end }}
        {{- range $name, $value := $v.env }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
        {{- $keys := list (list "CHOPMARK_ADMIN_KEY" "admin-key") (list "CHOPMARK_BLOB" "blob") (list "CHOPMARK_REDIS" "redis") (list "CHOPMARK_SQL" "sql") (list "CHOPMARK_SQL_READ" "sql-read") (list "CHOPMARK_SQL_SHARD" "sql-shard") (list "CHOPMARK_KEK" "kek") }}
        {{- if eq .role "edge" }}{{ $keys = list (list "CHOPMARK_REDIS" "redis") }}{{ end }}
        {{- range $keys }}
        {{- include "chopmark.secretEnv" (dict "name" (index . 0) "key" (index . 1) "secret" $v.secretName) | nindent 8 }}
        {{- end }}
      ports:
        - {name: http, containerPort: 8080}
        - {name: grpc, containerPort: 8081}
        {{- if eq .role "issue" }}
        - {name: roles, containerPort: 8082}
        {{- end }}
      startupProbe:
        httpGet: {path: /health, port: http}
        periodSeconds: 5
        failureThreshold: {{ div $v.startupSeconds 5 }}
      livenessProbe:
        httpGet: {path: /health, port: http}
        initialDelaySeconds: 30
        periodSeconds: 10
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /ready, port: http}
        initialDelaySeconds: 5
        periodSeconds: 5
        timeoutSeconds: 3
      {{- if semverCompare ">=1.30-0" .root.Capabilities.KubeVersion.Version }}
      lifecycle: # so that nobody is sent here any more when the listener closes
        preStop: {sleep: {seconds: 5}}
      {{- end }}
      resources: {{- toYaml $v.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: data, mountPath: /data, subPath: chopmark}
        - {name: config, mountPath: /etc/chopmark, readOnly: true}
        {{- if $cluster }}
        - {name: roles, mountPath: /roles, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ .root.Release.Name }}-config}
    {{- if $cluster }}
    - name: roles
      secret:
        secretName: {{ $v.rolesSecretName }}
        defaultMode: 0440
        items:
          {{- range list "ca.pem" (printf "%s.pem" .role) (printf "%s-key.pem" .role) }}
          - {key: {{ . }}, path: {{ . }}}
          {{- end }}
    {{- end }}
    {{- if not .values.keepsLog }}
    - name: data
      emptyDir: {sizeLimit: {{ .values.storage }}}
    {{- end }}
{{- end }}
