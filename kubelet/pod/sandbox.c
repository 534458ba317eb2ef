/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox of a pod: its configuration, its making and its stopping. */
#include <stdio.h>
#include <string.h>

#include "kubelet/cgroup/cgroups.h"
#include "kubelet/pod/files.h"
#include "proto/node_v1.pb-c.h"
#include "proto/schema_messages.h"

enum {
	HOSTNAME_MAX = 63,
	FQDN_MAX = 64,
	DNS_SERVERS_MAX = 3,
	DNS_SEARCHES_MAX = 32,
	DNS_OPTIONS_MAX = 32,
	RETRY_MS = 10000
};

static bool is_set(const char *s)
{
	return s && *s;
}

/* DNS */

static void add_text(struct arena *a, char ***list, size_t *n, size_t max, const char *text)
{
	for (size_t i = 0; i < *n; i++)
		if (!strcmp((*list)[i], text))
			return;
	if (*n >= max)
		return;
	*list = arena_grow(a, *list, *n * sizeof(**list), (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = arena_strdup(a, text);
}

#define ADD_SERVER(d, t) add_text(a, &(d)->servers, &(d)->n_servers, DNS_SERVERS_MAX, t)
#define ADD_SEARCH(d, t) add_text(a, &(d)->searches, &(d)->n_searches, DNS_SEARCHES_MAX, t)
#define ADD_OPTION(d, t) add_text(a, &(d)->options, &(d)->n_options, DNS_OPTIONS_MAX, t)

/* What the machine's resolv.conf says. */
static void read_resolv_conf(const char *path, CriV1__DNSConfig *d, bool servers, bool options,
                             struct arena *a)
{
	FILE *f = is_set(path) ? fopen(path, "re") : NULL;
	char line[4096];
	while (f && fgets(line, sizeof(line), f)) {
		char *save = NULL, *word = strtok_r(line, " \t\r\n", &save);
		if (!word || *word == '#' || *word == ';')
			continue;
		bool search = !strcmp(word, "search");
		if (search) {
			d->n_searches = 0; /* the last such line counts */
			d->searches = NULL;
		}
		for (char *v; (v = strtok_r(NULL, " \t\r\n", &save));) {
			if (servers && !strcmp(word, "nameserver"))
				ADD_SERVER(d, v);
			else if (search)
				ADD_SEARCH(d, v);
			else if (options && !strcmp(word, "options"))
				ADD_OPTION(d, v);
		}
	}
	if (f)
		fclose(f);
}

static void add_cluster_dns(struct pod *p, CriV1__DNSConfig *d, struct arena *a)
{
	const struct kubelet_config *c = p->k->config;
	for (size_t i = 0; i < c->cluster_dns.n; i++)
		ADD_SERVER(d, c->cluster_dns.at[i]);
	if (is_set(c->cluster_domain)) {
		ADD_SEARCH(d, arena_printf(a, "%s.svc.%s", p->ns, c->cluster_domain));
		ADD_SEARCH(d, arena_printf(a, "svc.%s", c->cluster_domain));
		ADD_SEARCH(d, c->cluster_domain);
	}
	CriV1__DNSConfig host = CRI_V1__DNSCONFIG__INIT;
	read_resolv_conf(c->resolv_conf, &host, false, false, a);
	for (size_t i = 0; i < host.n_searches; i++)
		ADD_SEARCH(d, host.searches[i]);
	ADD_OPTION(d, "ndots:5");
}

/* An option of the pod's own replaces one of that name. */
static void add_own_option(CriV1__DNSConfig *d, const CoreV1__PodDNSConfigOption *o,
                           struct arena *a)
{
	size_t n = strlen(o->name), k = 0;
	for (size_t i = 0; i < d->n_options; i++)
		if (strncmp(d->options[i], o->name, n) ||
		    (d->options[i][n] && d->options[i][n] != ':'))
			d->options[k++] = d->options[i];
	d->n_options = k;
	ADD_OPTION(d, o->value ? arena_printf(a, "%s:%s", o->name, o->value) : o->name);
}

static CriV1__DNSConfig *dns_config(struct pod *p, bool tell, struct arena *a)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	CriV1__DNSConfig *d = CRI_NEW(a, CriV1__DNSConfig, CRI_V1__DNSCONFIG__INIT);
	const char *policy = is_set(s->dns_policy) ? s->dns_policy : "ClusterFirst";
	bool cluster = !strcmp(policy, "ClusterFirstWithHostNet") ||
	               (!strcmp(policy, "ClusterFirst") && !s->host_network);
	if (cluster && !p->k->config->cluster_dns.n) {
		cluster = false;
		if (tell)
			pod_event(
			    p, NULL, true, "MissingClusterDNS",
			    "pod: \"%s_%s(%s)\". kubelet does not have ClusterDNS IP configured "
			    "and cannot "
			    "create Pod using \"%s\" policy. Falling back to \"Default\" policy.",
			    p->name, p->ns, p->uid, policy);
	}
	if (cluster)
		add_cluster_dns(p, d, a);
	else if (strcmp(policy, "None"))
		read_resolv_conf(p->k->config->resolv_conf, d, true, true, a);
	const CoreV1__PodDNSConfig *own = s->dns_config;
	for (size_t i = 0; own && i < own->n_nameservers; i++)
		ADD_SERVER(d, own->nameservers[i]);
	for (size_t i = 0; own && i < own->n_searches; i++)
		ADD_SEARCH(d, own->searches[i]);
	for (size_t i = 0; own && i < own->n_options; i++)
		add_own_option(d, own->options[i], a);
	return d;
}

/* The rest of the configuration */

static void add_ports(struct pod *p, CriV1__PodSandboxConfig *c, struct arena *a)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	if (s->host_network)
		return;
	for (size_t i = 0; i < s->n_containers + s->n_init_containers; i++) {
		const CoreV1__Container *k = i < s->n_containers
		                                 ? s->containers[i]
		                                 : s->init_containers[i - s->n_containers];
		for (size_t j = 0; j < k->n_ports; j++) {
			const CoreV1__ContainerPort *port = k->ports[j];
			if (port->host_port <= 0)
				continue;
			CriV1__PortMapping *m =
			    CRI_NEW(a, CriV1__PortMapping, CRI_V1__PORT_MAPPING__INIT);
			m->protocol = !strcmp(port->protocol, "UDP")    ? CRI_V1__PROTOCOL__UDP
			              : !strcmp(port->protocol, "SCTP") ? CRI_V1__PROTOCOL__SCTP
			                                                : CRI_V1__PROTOCOL__TCP;
			m->container_port = port->container_port;
			m->host_port = port->host_port;
			m->host_ip = port->host_ip;
			size_t n = c->n_port_mappings;
			c->port_mappings =
			    arena_grow(a, c->port_mappings, n * sizeof(m), (n + 1) * sizeof(m));
			c->port_mappings[c->n_port_mappings++] = m;
		}
	}
}

static CriV1__NamespaceOption *namespaces(const CoreV1__PodSpec *s, struct arena *a)
{
	CriV1__NamespaceOption *n =
	    CRI_NEW(a, CriV1__NamespaceOption, CRI_V1__NAMESPACE_OPTION__INIT);
	n->network = s->host_network ? CRI_V1__NAMESPACE_MODE__NODE : CRI_V1__NAMESPACE_MODE__POD;
	n->ipc = s->host_ipc ? CRI_V1__NAMESPACE_MODE__NODE : CRI_V1__NAMESPACE_MODE__POD;
	n->pid = s->host_pid                  ? CRI_V1__NAMESPACE_MODE__NODE
	         : s->share_process_namespace ? CRI_V1__NAMESPACE_MODE__POD
	                                      : CRI_V1__NAMESPACE_MODE__CONTAINER;
	return n;
}

static bool any_privileged(const CoreV1__PodSpec *s)
{
	for (size_t i = 0; i < s->n_containers; i++)
		if (s->containers[i]->security_context &&
		    s->containers[i]->security_context->privileged)
			return true;
	for (size_t i = 0; i < s->n_init_containers; i++)
		if (s->init_containers[i]->security_context &&
		    s->init_containers[i]->security_context->privileged)
			return true;
	return false;
}

static CriV1__Int64Value *int_value(struct arena *a, int64_t v)
{
	CriV1__Int64Value *i = CRI_NEW(a, CriV1__Int64Value, CRI_V1__INT64_VALUE__INIT);
	i->value = v;
	return i;
}

static CriV1__LinuxPodSandboxConfig *linux_config(struct pod *p, struct arena *a)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	const CoreV1__PodSecurityContext *psc = s->security_context;
	CriV1__LinuxPodSandboxConfig *l =
	    CRI_NEW(a, CriV1__LinuxPodSandboxConfig, CRI_V1__LINUX_POD_SANDBOX_CONFIG__INIT);
	CriV1__LinuxSandboxSecurityContext *sc = CRI_NEW(
	    a, CriV1__LinuxSandboxSecurityContext, CRI_V1__LINUX_SANDBOX_SECURITY_CONTEXT__INIT);
	l->security_context = sc;
	l->cgroup_parent = (char *)(uintptr_t)cgroups_pod_parent(p->k->cgroups, p->spec, a);
	l->resources = cgroups_sandbox_resources(p->k->cgroups, p->spec, a);
	sc->namespace_options = namespaces(s, a);
	sc->privileged = any_privileged(s);
	sc->seccomp = CRI_NEW(a, CriV1__SecurityProfile, CRI_V1__SECURITY_PROFILE__INIT);
	sc->seccomp->profile_type = sc->privileged
	                                ? CRI_V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined
	                                : CRI_V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	if (!psc)
		return l;
	if (psc->has_run_as_user)
		sc->run_as_user = int_value(a, psc->run_as_user);
	if (psc->has_run_as_group && psc->has_run_as_user)
		sc->run_as_group = int_value(a, psc->run_as_group);
	size_t n = psc->n_supplemental_groups;
	sc->supplemental_groups = arena_array(a, int64_t, n + 1);
	for (size_t i = 0; i < n; i++)
		sc->supplemental_groups[sc->n_supplemental_groups++] = psc->supplemental_groups[i];
	if (psc->has_fs_group)
		sc->supplemental_groups[sc->n_supplemental_groups++] = psc->fs_group;
	for (size_t i = 0; i < psc->n_sysctls; i++)
		cri_pair_add(a, &cri_v1__linux_pod_sandbox_config__sysctls_entry__descriptor,
		             &l->sysctls, &l->n_sysctls, psc->sysctls[i]->name,
		             psc->sysctls[i]->value);
	return l;
}

/* The short name that the pod goes by. */
static char *short_name(const struct pod *p, struct arena *a)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	char *h = arena_strdup(a, is_set(s->hostname) ? s->hostname : p->name);
	if (strlen(h) > HOSTNAME_MAX) {
		h[HOSTNAME_MAX] = 0;
		for (size_t n = HOSTNAME_MAX; n && (h[n - 1] == '-' || h[n - 1] == '.'); n--)
			h[n - 1] = 0;
	}
	return h;
}

static char *hostname_of(const struct pod *p, struct arena *a)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	if (s->host_network)
		return (char *)"";
	if (is_set(s->hostname_override))
		return s->hostname_override;
	char *name = short_name(p, a);
	const char *domain = p->k->config->cluster_domain;
	if (!s->set_hostname_as_fqdn || !is_set(s->subdomain) || !is_set(domain))
		return name;
	return arena_printf(a, "%s.%s.%s.svc.%s", name, s->subdomain, p->ns, domain);
}

CriV1__PodSandboxConfig *sandbox_config(struct pod *p, uint32_t attempt, bool tell, struct arena *a)
{
	const MetaV1__ObjectMeta *m = p->spec->metadata;
	CriV1__PodSandboxConfig *c =
	    CRI_NEW(a, CriV1__PodSandboxConfig, CRI_V1__POD_SANDBOX_CONFIG__INIT);
	c->metadata = CRI_NEW(a, CriV1__PodSandboxMetadata, CRI_V1__POD_SANDBOX_METADATA__INIT);
	c->metadata->name = p->name;
	c->metadata->namespace_ = p->ns;
	c->metadata->uid = p->uid;
	c->metadata->attempt = attempt;
	c->hostname = hostname_of(p, a);
	c->log_directory = (char *)(uintptr_t)pod_log_dir(p, a);
	c->dns_config = dns_config(p, tell, a);
	c->linux_ = linux_config(p, a);
	add_ports(p, c, a);
#define LABEL(k, v)                                                                        \
	cri_pair_add(a, &cri_v1__pod_sandbox_config__labels_entry__descriptor, &c->labels, \
	             &c->n_labels, k, v)
	for (size_t i = 0; i < m->n_labels; i++)
		LABEL(m->labels[i]->key, m->labels[i]->value);
	LABEL(LABEL_POD_NAME, p->name);
	LABEL(LABEL_POD_NAMESPACE, p->ns);
	LABEL(LABEL_POD_UID, p->uid);
#undef LABEL
	for (size_t i = 0; i < m->n_annotations; i++)
		cri_pair_add(a, &cri_v1__pod_sandbox_config__annotations_entry__descriptor,
		             &c->annotations, &c->n_annotations, m->annotations[i]->key,
		             m->annotations[i]->value);
	return c;
}

/* Making */

static void on_created(const struct cri_result *r, void *arg)
{
	struct pod *p = arg;
	_cleanup_arena_ struct arena a = {0};
	p->making_sandbox = NULL;
	if (r->code != RPC_OK) {
		pod_event(p, NULL, true, "FailedCreatePodSandBox",
		          "Failed to create pod sandbox: %s", cri_error_text(r, &a));
		pod_hold_start(p, RETRY_MS);
	}
	pods_relist_now(p->k->pods);
	pod_step_done(p);
}

/* The runtime's handler of the pod's RuntimeClass. */
static int runtime_handler(struct pod *p, struct arena *a, char **ret, struct err *err)
{
	const char *name = p->spec->spec->runtime_class_name;
	*ret = (char *)"";
	if (!is_set(name))
		return 0;
	const struct informer_object *o = informer_get(p->k->pods->runtime_classes, NULL, name);
	const NodeV1__RuntimeClass *c =
	    o ? (void *)informer_object_decode(o, &node_v1__runtime_class_schema, a) : NULL;
	if (!c)
		return err_set(err, ERR_NOT_FOUND, "runtimeclass.node.k8s.io \"%s\" not found",
		               name);
	*ret = c->handler;
	return 0;
}

/* What must be right before the runtime is asked. */
static int prepare(struct pod *p, CriV1__RunPodSandboxRequest *q, struct arena *a, struct err *err)
{
	const char *name = q->config->hostname;
	if (strlen(name) > FQDN_MAX)
		return err_set(
		    err, ERR_INVALID,
		    "Failed to construct FQDN from pod hostname and cluster domain, FQDN "
		    "%s is too long (%d characters is the max, %zu characters requested)",
		    name, FQDN_MAX, strlen(name));
	int r = runtime_handler(p, a, &q->runtime_handler, err);
	return r ? r : folder_make(q->config->log_directory, 0755, err);
}

void sandbox_create(struct pod *p, uint32_t attempt, bool replaced)
{
	_cleanup_arena_ struct arena a = {0};
	if (replaced)
		pod_event(p, NULL, false, "SandboxChanged",
		          "Pod sandbox changed, it will be killed and re-created.");
	CriV1__RunPodSandboxRequest *q =
	    CRI_NEW(&a, CriV1__RunPodSandboxRequest, CRI_V1__RUN_POD_SANDBOX_REQUEST__INIT);
	q->config = sandbox_config(p, attempt, true, &a);
	struct err err = ERR_INIT;
	if (prepare(p, q, &a, &err) || cgroups_pod_make(p->k->cgroups, p->spec, &err)) {
		pod_event(p, NULL, true, "FailedCreatePodSandBox",
		          "Failed to create pod sandbox: %s", err.text);
		pod_hold_start(p, RETRY_MS);
		pod_sync_after(p, RETRY_MS);
		return;
	}
	pod_step(p);
	p->making_sandbox =
	    cri_call(p->k->cri, CRI_RUN_POD_SANDBOX, q, 2 * CRI_TIMEOUT_MS, on_created, p);
}

void sandbox_cancel(struct pod *p)
{
	if (!p->making_sandbox)
		return;
	cri_call_drop(TAKE(p->making_sandbox));
	pods_relist_now(p->k->pods);
	pod_step_done(p);
}

/* Stopping */

static void on_stopped(const struct cri_result *r, void *arg)
{
	struct pod *p = arg;
	if (r->code != RPC_OK && r->code != RPC_NOT_FOUND) {
		_cleanup_arena_ struct arena a = {0};
		pod_event(p, NULL, true, "FailedKillPod",
		          "error killing pod: failed to \"KillPodSandbox\" "
		          "for \"%s\" with KillPodSandboxError: \"%s\"",
		          p->uid, cri_error_text(r, &a));
		pod_hold(p, 1000);
	}
	pods_relist_now(p->k->pods);
	pod_step_done(p);
}

void sandbox_stop_all(struct pod *p)
{
	for (size_t i = 0; i < p->rt.n_sandboxes; i++) {
		if (!p->rt.sandboxes[i].ready)
			continue;
		CriV1__StopPodSandboxRequest q = CRI_V1__STOP_POD_SANDBOX_REQUEST__INIT;
		q.pod_sandbox_id = (char *)(uintptr_t)p->rt.sandboxes[i].id;
		pod_step(p);
		cri_call(p->k->cri, CRI_STOP_POD_SANDBOX, &q, CRI_TIMEOUT_MS, on_stopped, p);
	}
}
