package deploy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const chart = "../../deploy/helm/chopmark"

// serviceMonitor is the part of Prometheus Operator's kind that we write.
type serviceMonitor struct {
	metav1.TypeMeta
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		JobLabel  string               `json:"jobLabel"`
		Endpoints []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// kinds are what a manifest may be, each with the type that knows its fields.
var kinds = map[string]func() any{
	"v1/ConfigMap":                                    func() any { return &corev1.ConfigMap{} },
	"v1/Namespace":                                    func() any { return &corev1.Namespace{} },
	"v1/Service":                                      func() any { return &corev1.Service{} },
	"v1/ServiceAccount":                               func() any { return &corev1.ServiceAccount{} },
	"v1/PersistentVolumeClaim":                        func() any { return &corev1.PersistentVolumeClaim{} },
	"apps/v1/Deployment":                              func() any { return &appsv1.Deployment{} },
	"apps/v1/StatefulSet":                             func() any { return &appsv1.StatefulSet{} },
	"autoscaling/v2/HorizontalPodAutoscaler":          func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"batch/v1/CronJob":                                func() any { return &batchv1.CronJob{} },
	"networking.k8s.io/v1/NetworkPolicy":              func() any { return &networkingv1.NetworkPolicy{} },
	"policy/v1/PodDisruptionBudget":                   func() any { return &policyv1.PodDisruptionBudget{} },
	"rbac.authorization.k8s.io/v1/Role":               func() any { return &rbacv1.Role{} },
	"rbac.authorization.k8s.io/v1/RoleBinding":        func() any { return &rbacv1.RoleBinding{} },
	"rbac.authorization.k8s.io/v1/ClusterRole":        func() any { return &rbacv1.ClusterRole{} },
	"monitoring.coreos.com/v1/ServiceMonitor":         func() any { return &serviceMonitor{} },
	"rbac.authorization.k8s.io/v1/ClusterRoleBinding": func() any { return &rbacv1.ClusterRoleBinding{} },
}

// decode reads manifests and refuses what no schema knows: a wrong field, a field said
// twice, an unknown kind.
func decode(text []byte) (map[string]any, error) {
	objects := map[string]any{}
	docs := kyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		var meta struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal(doc, &meta); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, doc)
		}
		if meta.Kind == "" && len(bytes.TrimSpace(stripComments(doc))) == 0 {
			continue
		}
		kind, known := kinds[meta.APIVersion+"/"+meta.Kind]
		if !known {
			return nil, fmt.Errorf("unknown kind %s/%s in\n%s", meta.APIVersion, meta.Kind, doc)
		}
		into := kind()
		if err := yaml.UnmarshalStrict(doc, into); err != nil {
			return nil, fmt.Errorf("%s %s: %w in\n%s", meta.Kind, meta.Name, err, doc)
		}
		name := meta.Kind + "/" + meta.Name
		if _, twice := objects[name]; twice {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		objects[name] = into
	}
}

func stripComments(doc []byte) []byte {
	var out []byte
	for line := range bytes.Lines(doc) {
		if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) && !bytes.HasPrefix(line, []byte("---")) {
			out = append(out, line...)
		}
	}
	return out
}

// render gives the chart's manifests for values over its own.
func render(t *testing.T, kube, values string) ([]byte, error) {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	version, err := chartutil.ParseKubeVersion(kube)
	if err != nil {
		t.Fatal(err)
	}
	caps.KubeVersion = *version
	all, err := chartutil.ToRenderValues(c, given, chartutil.ReleaseOptions{Name: "cm", Namespace: "goods", IsInstall: true}, caps)
	if err != nil {
		t.Fatal(err)
	}
	out, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(out)) {
		if filepath.Ext(name) == ".yaml" {
			fmt.Fprintf(&text, "---\n%s\n", out[name])
		}
	}
	return text.Bytes(), nil
}

func objects(t *testing.T, kube, values string) map[string]any {
	t.Helper()
	text, err := render(t, kube, values)
	if err != nil {
		t.Fatal(err)
	}
	all, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func get[T any](t *testing.T, all map[string]any, name string) T {
	t.Helper()
	o, ok := all[name].(T)
	if !ok {
		t.Fatalf("no %s among %v", name, slices.Sorted(maps.Keys(all)))
	}
	return o
}

const cluster = `
publicURL: https://c.example.com
kafka: kafka-0:9092,kafka-1:9092
roles: {all: {enabled: false}, issue: {enabled: true}, edge: {enabled: true}, worker: {enabled: true}}
serviceMonitor: {enabled: true}
config: {trusted_proxy: 10.0.0.0/8, log_level: info}
env: {OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4317"}
autoscaling:
  floors: [{name: promotion, role: edge, schedule: "0 10 10 11 *", minReplicas: 50}]
`

func TestEmbedded(t *testing.T) {
	t.Parallel()
	all := objects(t, "v1.33.0", "")
	set := get[*appsv1.StatefulSet](t, all, "StatefulSet/cm-all")
	if *set.Spec.Replicas != 1 || len(set.Spec.VolumeClaimTemplates) != 1 {
		t.Errorf("all has %d replicas and %d volumes of its own", *set.Spec.Replicas, len(set.Spec.VolumeClaimTemplates))
	}
	for name := range all {
		if strings.HasPrefix(name, "Deployment/") || strings.HasPrefix(name, "Horizontal") || strings.HasPrefix(name, "PodDisruption") {
			t.Errorf("%s makes no sense for one process", name)
		}
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	all := objects(t, "v1.33.0", cluster)
	edge := get[*appsv1.StatefulSet](t, all, "StatefulSet/cm-edge")
	issue := get[*appsv1.Deployment](t, all, "Deployment/cm-issue")
	worker := get[*appsv1.Deployment](t, all, "Deployment/cm-worker")
	get[*serviceMonitor](t, all, "ServiceMonitor/cm")
	get[*networkingv1.NetworkPolicy](t, all, "NetworkPolicy/cm")

	if edge.Spec.Replicas != nil || issue.Spec.Replicas != nil || *worker.Spec.Replicas != 2 {
		t.Error("replicas and the autoscaler disagree about who decides")
	}
	if len(edge.Spec.VolumeClaimTemplates) != 1 || edge.Spec.PersistentVolumeClaimRetentionPolicy.WhenScaled != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
		t.Error("an edge's log of sightings does not outlive its pod")
	}
	for _, d := range []*appsv1.Deployment{issue, worker} {
		r := d.Spec.Strategy.RollingUpdate
		if r.MaxSurge.String() != "25%" || r.MaxUnavailable.String() != "25%" {
			t.Errorf("%s rolls by %s and %s", d.Name, r.MaxSurge, r.MaxUnavailable)
		}
	}
	for role, pod := range map[string]*corev1.PodTemplateSpec{"edge": &edge.Spec.Template, "issue": &issue.Spec.Template, "worker": &worker.Spec.Template} {
		checkPod(t, role, pod)
		args := strings.Join(pod.Spec.Containers[0].Args, " ")
		if got := strings.Contains(args, "--join=https://cm-issue:8082"); got != (role == "edge") {
			t.Errorf("%s joins: %v", role, got)
		}
		if got := strings.Contains(args, "--role-listen"); got != (role == "issue") {
			t.Errorf("%s listens for roles: %v", role, got)
		}
		if got := hasEnv(pod, "CHOPMARK_SQL"); got == (role == "edge") {
			t.Errorf("%s has SQL: %v", role, got)
		}
		if pod.Spec.Containers[0].Lifecycle == nil {
			t.Errorf("%s does not wait before it closes its listener", role)
		}
	}
	hpa := get[*autoscalingv2.HorizontalPodAutoscaler](t, all, "HorizontalPodAutoscaler/cm-edge")
	checkScaler(t, hpa, edge.Spec.Template.Spec.Containers[0].Resources)
	if hpa.Spec.ScaleTargetRef.Kind != "StatefulSet" || hpa.Spec.ScaleTargetRef.Name != "cm-edge" {
		t.Errorf("the autoscaler scales %v", hpa.Spec.ScaleTargetRef)
	}
	job := get[*batchv1.CronJob](t, all, "CronJob/cm-floor-promotion")
	if got := strings.Join(job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args, " "); got != `--patch={"spec":{"minReplicas":50}}` {
		t.Errorf("the floor is set by %s", got)
	}
}

func hasEnv(pod *corev1.PodTemplateSpec, name string) bool {
	return slices.ContainsFunc(pod.Spec.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == name })
}

func checkPod(t *testing.T, role string, pod *corev1.PodTemplateSpec) {
	t.Helper()
	c := pod.Spec.Containers[0]
	if p := c.LivenessProbe; p.HTTPGet.Path != "/health" || p.InitialDelaySeconds != 30 || p.PeriodSeconds != 10 {
		t.Errorf("%s: liveness %+v", role, p)
	}
	if p := c.ReadinessProbe; p.HTTPGet.Path != "/ready" || p.InitialDelaySeconds != 5 || p.PeriodSeconds != 5 {
		t.Errorf("%s: readiness %+v", role, p)
	}
	if pod.Labels["version"] == "" || len(pod.Spec.TopologySpreadConstraints) != 2 {
		t.Errorf("%s: labels %v, %d spreads", role, pod.Labels, len(pod.Spec.TopologySpreadConstraints))
	}
	s, p := c.SecurityContext, pod.Spec.SecurityContext
	if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Contains(s.Capabilities.Drop, "ALL") || !*p.RunAsNonRoot || *p.RunAsUser == 0 {
		t.Errorf("%s: security %+v, %+v", role, s, p)
	}
	if *pod.Spec.TerminationGracePeriodSeconds < 45+5 {
		t.Errorf("%s is killed after %d s", role, *pod.Spec.TerminationGracePeriodSeconds)
	}
	for _, e := range c.Env {
		if e.Value != "" && (strings.Contains(e.Value, "@") || strings.Contains(e.Name, "KEY")) {
			t.Errorf("%s: %s is given by value", role, e.Name)
		}
	}
	wants := map[string]string{"requests.cpu": "250m", "requests.memory": "256Mi", "limits.cpu": "500m", "limits.memory": "1536Mi"}
	for name, got := range map[string]*resource.Quantity{
		"requests.cpu": c.Resources.Requests.Cpu(), "requests.memory": c.Resources.Requests.Memory(),
		"limits.cpu": c.Resources.Limits.Cpu(), "limits.memory": c.Resources.Limits.Memory(),
	} {
		if got.String() != wants[name] && got.Cmp(resource.MustParse(wants[name])) != 0 {
			t.Errorf("%s: %s is %s", role, name, got)
		}
	}
}

func checkScaler(t *testing.T, h *autoscalingv2.HorizontalPodAutoscaler, r corev1.ResourceRequirements) {
	t.Helper()
	if *h.Spec.MinReplicas != 3 || h.Spec.MaxReplicas != 50 || len(h.Spec.Metrics) != 3 {
		t.Fatalf("%d to %d replicas by %d metrics", *h.Spec.MinReplicas, h.Spec.MaxReplicas, len(h.Spec.Metrics))
	}
	cpu, memory, requests := h.Spec.Metrics[0].Resource, h.Spec.Metrics[1].Resource, h.Spec.Metrics[2].Pods
	if *cpu.Target.AverageUtilization != 70 {
		t.Errorf("cpu %d", *cpu.Target.AverageUtilization)
	}
	if share := memory.Target.AverageValue.AsApproximateFloat64() / r.Limits.Memory().AsApproximateFloat64(); share < 0.79 || share > 0.81 {
		t.Errorf("memory at %.2f of the limit", share)
	}
	if requests.Metric.Name != "requests_per_second" || requests.Target.AverageValue.Value() != 1000 {
		t.Errorf("requests %+v", requests)
	}
	up, down := h.Spec.Behavior.ScaleUp, h.Spec.Behavior.ScaleDown
	if *up.StabilizationWindowSeconds != 60 || up.Policies[0] != (autoscalingv2.HPAScalingPolicy{Type: "Percent", Value: 100, PeriodSeconds: 15}) ||
		*down.StabilizationWindowSeconds != 300 || down.Policies[0] != (autoscalingv2.HPAScalingPolicy{Type: "Percent", Value: 10, PeriodSeconds: 60}) {
		t.Errorf("up %+v, down %+v", up, down)
	}
}

// TestSelectors: what a service, a budget or a policy selects must be there.
func TestSelectors(t *testing.T) {
	t.Parallel()
	all := objects(t, "v1.33.0", cluster)
	pods := map[string]map[string]string{}
	for _, o := range all {
		switch o := o.(type) {
		case *appsv1.Deployment:
			pods[o.Name] = o.Spec.Template.Labels
			matches(t, o.Name, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
		case *appsv1.StatefulSet:
			pods[o.Name] = o.Spec.Template.Labels
			matches(t, o.Name, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
			get[*corev1.Service](t, all, "Service/"+o.Spec.ServiceName)
		}
	}
	for _, o := range all {
		switch o := o.(type) {
		case *corev1.Service:
			matches(t, o.Name, o.Spec.Selector, pods[strings.TrimSuffix(o.Name, "-pods")])
		case *policyv1.PodDisruptionBudget:
			matches(t, o.Name, o.Spec.Selector.MatchLabels, pods[o.Name])
		case *networkingv1.NetworkPolicy:
			for name, labels := range pods {
				matches(t, name, o.Spec.PodSelector.MatchLabels, labels)
			}
		}
	}
}

func matches(t *testing.T, name string, selector, labels map[string]string) {
	t.Helper()
	if len(selector) == 0 {
		t.Errorf("%s selects everything", name)
	}
	for k, v := range selector {
		if labels[k] != v {
			t.Errorf("%s selects %s=%s, the pods have %q", name, k, v, labels[k])
		}
	}
}

func TestOldKubernetesGetsNoSleep(t *testing.T) {
	t.Parallel()
	all := objects(t, "v1.28.0", cluster)
	if get[*appsv1.Deployment](t, all, "Deployment/cm-issue").Spec.Template.Spec.Containers[0].Lifecycle != nil {
		t.Error("Kubernetes 1.28 knows no sleep before the stop")
	}
}

func TestWrongShapesAreRefused(t *testing.T) {
	t.Parallel()
	for values, says := range map[string]string{
		"roles: {edge: {enabled: true}}":                        "stands alone",
		"roles: {all: {replicas: 2}}":                           "must be 1",
		"roles: {all: {enabled: false}, edge: {enabled: true}}": "enable both",
	} {
		if _, err := render(t, "v1.33.0", values); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", values, err)
		}
	}
}

// TestDecodeIsStrict plants what a lenient decoder would pass over.
func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	text, err := render(t, "v1.33.0", cluster)
	if err != nil {
		t.Fatal(err)
	}
	for what, planted := range map[string]string{
		"a wrong field": strings.Replace(string(text), "periodSeconds: 5", "periodSecond: 5", 1),
		"a field twice": strings.Replace(string(text), "enableServiceLinks: false", "enableServiceLinks: false\n      enableServiceLinks: true", 1),
		"a wrong kind":  strings.Replace(string(text), "kind: StatefulSet", "kind: StatefulSets", 1),
		"a wrong type":  strings.Replace(string(text), "maxReplicas: 50", "maxReplicas: many", 1),
	} {
		if planted == string(text) {
			t.Errorf("%s was not planted", what)
		}
		if _, err := decode([]byte(planted)); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

// TestMonitoring reads the manifest of the collector, Jaeger and Prometheus.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/monitoring.yml")
	if err != nil {
		t.Fatal(err)
	}
	all, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"collector", "jaeger", "prometheus"} {
		d := get[*appsv1.Deployment](t, all, "Deployment/"+name)
		matches(t, name, get[*corev1.Service](t, all, "Service/"+name).Spec.Selector, d.Spec.Template.Labels)
		matches(t, name, d.Spec.Selector.MatchLabels, d.Spec.Template.Labels)
	}
	// The collector's settings are those of compose: two copies that must not drift.
	want, err := os.ReadFile("../../deploy/otel/collector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := get[*corev1.ConfigMap](t, all, "ConfigMap/collector").Data["collector.yaml"]
	if a, b := asJSON(t, []byte(got)), asJSON(t, want); a != b {
		t.Errorf("the collector in monitoring.yml is set up as\n%s\nthe one of compose as\n%s", a, b)
	}
}

func asJSON(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := yaml.UnmarshalStrict(text, &v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
