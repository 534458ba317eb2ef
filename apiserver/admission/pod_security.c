/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admission/pod_security.h"
#include <stdio.h>
#include "common/base/vec.h"
#include "proto/meta_labels.h"
#include "proto/meta_v1.pb-c.h"

/* What all kinds of containers have in common here. */
struct box {
	const char *name;
	const CoreV1__SecurityContext *sc;
	CoreV1__ContainerPort *const *ports;
	size_t n_ports;
	const CoreV1__Probe *probes[3];
	const CoreV1__Lifecycle *lifecycle;
};

struct subject {
	const MetaV1__ObjectMeta *meta;
	const CoreV1__PodSpec *spec;
	struct box *boxes; /* init, plain, ephemeral */
	size_t n_boxes;
	struct arena *a;
};

/* The names of boxes, or of volumes, that a check found. */
struct names {
	struct arena *a;
	const char *list;
	size_t n;
};

static void name_add(struct names *n, const char *name)
{
	n->list = arena_printf(n->a, "%s%s\"%s\"", n->n ? n->list : "", n->n ? ", " : "", name);
	n->n++;
}

/* `container "a" TEXT` or `containers "a", "b" TEXT`. */
static const char *told(const struct names *n, const char *what, const char *text)
{
	return arena_printf(n->a, "%s%s %s%s%s", what, n->n > 1 ? "s" : "", n->list,
	                    *text ? " " : "", text);
}

#define EACH_BOX(s, b) for (const struct box *b = (s)->boxes; b < (s)->boxes + (s)->n_boxes; b++)

/* Each check: NULL, or the details; *ret_reason is what it is called. */
typedef const char *(*check_fn)(const struct subject *s, const char **ret_reason);

/* --- baseline
 * ------------------------------------------------------------------------------------- */

static bool known_profile(const char *type)
{
	return !strcmp(type, "RuntimeDefault") || !strcmp(type, "Localhost");
}

static const char *app_armor(const struct subject *s, const char **ret_reason)
{
	static const char PREFIX[] = "container.apparmor.security.beta.kubernetes.io/";
	const CoreV1__PodSecurityContext *pc = s->spec->security_context;
	const char *text = "";
	size_t n = 0;

	if (pc && pc->app_armor_profile && !known_profile(pc->app_armor_profile->type)) {
		text = "pod must not set AppArmor profile type to \"Unconfined\"";
		n++;
	}
	EACH_BOX(s, b)
	{
		if (!b->sc || !b->sc->app_armor_profile ||
		    known_profile(b->sc->app_armor_profile->type))
			continue;
		text =
		    arena_printf(s->a,
		                 "%s%scontainer \"%s\" must not set AppArmor profile type to "
		                 "\"%s\"",
		                 text, n++ ? " and " : "", b->name, b->sc->app_armor_profile->type);
	}
	for (size_t i = 0; i < s->meta->n_annotations; i++) {
		const char *key = s->meta->annotations[i]->key, *v = s->meta->annotations[i]->value;

		if (strncmp(key, PREFIX, strlen(PREFIX)) != 0 || !*v ||
		    !strcmp(v, "runtime/default") || !strncmp(v, "localhost/", 10))
			continue;
		text =
		    arena_printf(s->a, "%s%sannotation %s=\"%s\"", text, n++ ? ", " : "", key, v);
	}
	*ret_reason = n > 1 ? "forbidden AppArmor profiles" : "forbidden AppArmor profile";
	return n ? text : NULL;
}

static const char *capabilities_baseline(const struct subject *s, const char **ret_reason)
{
	static const char *const ALLOWED[] = {
	    "AUDIT_WRITE", "CHOWN",  "DAC_OVERRIDE",     "FOWNER",  "FSETID",
	    "KILL",        "MKNOD",  "NET_BIND_SERVICE", "SETFCAP", "SETGID",
	    "SETPCAP",     "SETUID", "SYS_CHROOT"};
	struct names who = {s->a, "", 0}, what = {s->a, "", 0};

	EACH_BOX(s, b)
	{
		const CoreV1__Capabilities *c = b->sc ? b->sc->capabilities : NULL;
		size_t before = what.n;

		for (size_t i = 0; c && i < c->n_add; i++) {
			bool ok = false;

			for (size_t k = 0; k < ARRAY_LEN(ALLOWED); k++)
				ok |= !strcmp(ALLOWED[k], c->add[i]);
			if (!ok)
				name_add(&what, c->add[i]);
		}
		if (what.n > before)
			name_add(&who, b->name);
	}
	*ret_reason = "non-default capabilities";
	return who.n ? told(&who, "container",
	                    arena_printf(s->a,
	                                 "must not include %s in "
	                                 "securityContext.capabilities.add",
	                                 what.list))
	             : NULL;
}

static const char *host_namespaces(const struct subject *s, const char **ret_reason)
{
	const bool on[] = {s->spec->has_host_network && s->spec->host_network,
	                   s->spec->has_host_pid && s->spec->host_pid,
	                   s->spec->has_host_ipc && s->spec->host_ipc};
	static const char *const TEXT[] = {"hostNetwork=true", "hostPID=true", "hostIPC=true"};
	const char *text = "";

	for (size_t i = 0; i < 3; i++)
		if (on[i])
			text = arena_printf(s->a, "%s%s%s", text, *text ? ", " : "", TEXT[i]);
	*ret_reason = "host namespaces";
	return *text ? text : NULL;
}

static const char *host_path(const struct subject *s, const char **ret_reason)
{
	struct names n = {s->a, "", 0};

	for (size_t i = 0; i < s->spec->n_volumes; i++)
		if (s->spec->volumes[i]->volume_source->host_path)
			name_add(&n, s->spec->volumes[i]->name);
	*ret_reason = "hostPath volumes";
	return n.n ? told(&n, "volume", "") : NULL;
}

static const char *host_ports(const struct subject *s, const char **ret_reason)
{
	struct names n = {s->a, "", 0};
	const char *ports = "";
	size_t n_ports = 0;

	EACH_BOX(s, b)
	{
		size_t before = n_ports;

		for (size_t i = 0; i < b->n_ports; i++)
			if (b->ports[i]->has_host_port && b->ports[i]->host_port)
				ports = arena_printf(s->a, "%s%s%d", ports, n_ports++ ? ", " : "",
				                     b->ports[i]->host_port);
		if (n_ports > before)
			name_add(&n, b->name);
	}
	*ret_reason = "hostPort";
	return n.n ? told(&n, "container",
	                  arena_printf(s->a, "%s hostPort%s %s", n.n > 1 ? "use" : "uses",
	                               n_ports > 1 ? "s" : "", ports))
	           : NULL;
}

static bool names_host(const CoreV1__HTTPGetAction *h, const CoreV1__TCPSocketAction *t)
{
	return (h && h->host && h->host[0]) || (t && t->host && t->host[0]);
}

static const char *probe_hosts(const struct subject *s, const char **ret_reason)
{
	struct names n = {s->a, "", 0};

	EACH_BOX(s, b)
	{
		const CoreV1__LifecycleHandler *hooks[2] = {
		    b->lifecycle ? b->lifecycle->post_start : NULL,
		    b->lifecycle ? b->lifecycle->pre_stop : NULL};
		bool bad = false;

		for (size_t i = 0; i < 3; i++)
			bad |= b->probes[i] && b->probes[i]->handler &&
			       names_host(b->probes[i]->handler->http_get,
			                  b->probes[i]->handler->tcp_socket);
		for (size_t i = 0; i < 2; i++)
			bad |= hooks[i] && names_host(hooks[i]->http_get, hooks[i]->tcp_socket);
		if (bad)
			name_add(&n, b->name);
	}
	*ret_reason = "probe or lifecycle host";
	return n.n ? told(&n, "container",
	                  n.n > 1 ? "use probe or lifecycle hosts" : "uses probe or lifecycle host")
	           : NULL;
}

static const char *privileged(const struct subject *s, const char **ret_reason)
{
	struct names n = {s->a, "", 0};

	EACH_BOX(s, b)
	if (b->sc && b->sc->has_privileged && b->sc->privileged)
		name_add(&n, b->name);
	*ret_reason = "privileged";
	return n.n ? told(&n, "container", "must not set securityContext.privileged=true") : NULL;
}

static const char *proc_mount(const struct subject *s, const char **ret_reason)
{
	struct names n = {s->a, "", 0};
	const char *type = "";

	EACH_BOX(s, b)
	{
		if (!b->sc || !b->sc->proc_mount || !strcmp(b->sc->proc_mount, "Default"))
			continue;
		type = b->sc->proc_mount;
		name_add(&n, b->name);
	}
	*ret_reason = "procMount";
	return n.n ? told(&n, "container",
	                  arena_printf(s->a, "must not set securityContext.procMount to \"%s\"",
	                               type))
	           : NULL;
}

static const char *se_linux_faults(struct arena *a, const CoreV1__SELinuxOptions *o)
{
	static const char *const TYPES[] = {"", "container_t", "container_init_t",
	                                    "container_kvm_t", "container_engine_t"};
	const char *text = "";
	bool ok = false;

	if (!o)
		return "";
	for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
		ok |= !strcmp(TYPES[i], o->type);
	if (!ok)
		text = arena_printf(a, "type \"%s\"", o->type);
	if (o->user[0])
		text = arena_printf(a, "%s%suser may not be set", text, *text ? "; " : "");
	if (o->role[0])
		text = arena_printf(a, "%s%srole may not be set", text, *text ? "; " : "");
	return text;
}

static const char *se_linux(const struct subject *s, const char **ret_reason)
{
	const CoreV1__PodSecurityContext *pc = s->spec->security_context;
	const char *pod = se_linux_faults(s->a, pc ? pc->se_linux_options : NULL), *what = pod;
	struct names n = {s->a, "", 0};

	EACH_BOX(s, b)
	{
		const char *t = se_linux_faults(s->a, b->sc ? b->sc->se_linux_options : NULL);

		if (!*t)
			continue;
		name_add(&n, b->name);
		if (!*what)
			what = t;
	}
	*ret_reason = "seLinuxOptions";
	if (!*pod && !n.n)
		return NULL;
	const char *text =
	    arena_printf(s->a, "set forbidden securityContext.seLinuxOptions: %s", what);
	if (!n.n)
		return arena_printf(s->a, "pod %s", text);
	return arena_printf(s->a, "%s%s", *pod ? "pod and " : "", told(&n, "container", text));
}

static const char *seccomp_baseline(const struct subject *s, const char **ret_reason)
{
	const CoreV1__PodSecurityContext *pc = s->spec->security_context;
	bool pod = pc && pc->seccomp_profile && !known_profile(pc->seccomp_profile->type);
	struct names n = {s->a, "", 0};
	const char *type = pod ? pc->seccomp_profile->type : "";

	EACH_BOX(s, b)
	{
		if (!b->sc || !b->sc->seccomp_profile ||
		    known_profile(b->sc->seccomp_profile->type))
			continue;
		type = b->sc->seccomp_profile->type;
		name_add(&n, b->name);
	}
	*ret_reason = "seccompProfile";
	if (!pod && !n.n)
		return NULL;
	const char *text =
	    arena_printf(s->a, "must not set securityContext.seccompProfile.type to \"%s\"", type);
	if (!n.n)
		return arena_printf(s->a, "pod %s", text);
	return arena_printf(s->a, "%s%s", pod ? "pod and " : "", told(&n, "container", text));
}

static const char *sysctls(const struct subject *s, const char **ret_reason)
{
	static const char *const SAFE[] = {"kernel.shm_rmid_forced",
	                                   "net.ipv4.ip_local_port_range",
	                                   "net.ipv4.ip_unprivileged_port_start",
	                                   "net.ipv4.tcp_syncookies",
	                                   "net.ipv4.ping_group_range",
	                                   "net.ipv4.ip_local_reserved_ports",
	                                   "net.ipv4.tcp_keepalive_time",
	                                   "net.ipv4.tcp_fin_timeout",
	                                   "net.ipv4.tcp_keepalive_intvl",
	                                   "net.ipv4.tcp_keepalive_probes",
	                                   "net.ipv4.tcp_rmem",
	                                   "net.ipv4.tcp_wmem"};
	const CoreV1__PodSecurityContext *pc = s->spec->security_context;
	const char *text = "";

	for (size_t i = 0; pc && i < pc->n_sysctls; i++) {
		bool ok = false;

		for (size_t k = 0; k < ARRAY_LEN(SAFE); k++)
			ok |= !strcmp(SAFE[k], pc->sysctls[i]->name);
		if (!ok)
			text = arena_printf(s->a, "%s%s%s", text, *text ? ", " : "",
			                    pc->sysctls[i]->name);
	}
	*ret_reason = "forbidden sysctls";
	return *text ? text : NULL;
}

static bool host_process(const CoreV1__WindowsSecurityContextOptions *o)
{
	return o && o->has_host_process && o->host_process;
}

static const char *windows_host_process(const struct subject *s, const char **ret_reason)
{
	const CoreV1__PodSecurityContext *pc = s->spec->security_context;
	bool pod = pc && host_process(pc->windows_options);
	struct names n = {s->a, "", 0};

	EACH_BOX(s, b)
	if (b->sc && host_process(b->sc->windows_options))
		name_add(&n, b->name);
	*ret_reason = "hostProcess";
	if (!pod && !n.n)
		return NULL;
	const char *text = "must not set securityContext.windowsOptions.hostProcess=true";
	if (!n.n)
		return arena_printf(s->a, "pod %s", text);
	return arena_printf(s->a, "%s%s", pod ? "pod and " : "", told(&n, "container", text));
}

/* --- restricted
 * ------------------------------------------------------------------------------------ */

static bool windows(const struct subject *s)
{
	return s->spec->os && !strcmp(s->spec->os->name, "windows");
}

static const char *privilege_escalation(const struct subject *s, const char **ret_reason)
{
	struct names n = {s->a, "", 0};

	EACH_BOX(s, b)
	if (!b->sc || !b->sc->has_allow_privilege_escalation || b->sc->allow_privilege_escalation)
		name_add(&n, b->name);
	*ret_reason = "allowPrivilegeEscalation != false";
	return n.n && !windows(s) ? told(&n, "container",
	                                 "must set securityContext.allowPrivilegeEscalation=false")
	                          : NULL;
}

static const char *capabilities_restricted(const struct subject *s, const char **ret_reason)
{
	struct names keep = {s->a, "", 0}, add = {s->a, "", 0}, what = {s->a, "", 0};
	const char *text = "";

	EACH_BOX(s, b)
	{
		const CoreV1__Capabilities *c = b->sc ? b->sc->capabilities : NULL;
		bool all = false;
		size_t before = what.n;

		for (size_t i = 0; c && i < c->n_drop; i++)
			all |= !strcmp(c->drop[i], "ALL");
		if (!all)
			name_add(&keep, b->name);
		for (size_t i = 0; c && i < c->n_add; i++)
			if (strcmp(c->add[i], "NET_BIND_SERVICE") != 0)
				name_add(&what, c->add[i]);
		if (what.n > before)
			name_add(&add, b->name);
	}
	*ret_reason = "unrestricted capabilities";
	if (windows(s) || (!keep.n && !add.n))
		return NULL;
	if (keep.n)
		text = told(&keep, "container",
		            "must set securityContext.capabilities.drop=[\"ALL\"]");
	if (add.n)
		text = arena_printf(s->a, "%s%s%s", text, *text ? "; " : "",
		                    told(&add, "container",
		                         arena_printf(s->a,
		                                      "must not include %s in "
		                                      "securityContext.capabilities.add",
		                                      what.list)));
	return text;
}

static const char *restricted_volumes(const struct subject *s, const char **ret_reason)
{
	struct names n = {s->a, "", 0};

	for (size_t i = 0; i < s->spec->n_volumes; i++) {
		const CoreV1__VolumeSource *v = s->spec->volumes[i]->volume_source;

		if (!v->config_map && !v->csi && !v->downward_api && !v->empty_dir &&
		    !v->ephemeral && !v->persistent_volume_claim && !v->projected && !v->secret &&
		    !v->image)
			name_add(&n, s->spec->volumes[i]->name);
	}
	*ret_reason = "restricted volume types";
	return n.n ? told(&n, "volume",
	                  n.n > 1 ? "use restricted volume types" : "uses a restricted volume type")
	           : NULL;
}

/* A container that says nothing follows the pod. */
static const char *by_pod_or_box(const struct subject *s, bool pod_good, bool pod_bad,
                                 bool (*box_good)(const struct box *),
                                 bool (*box_says)(const struct box *), const char *text)
{
	struct names bad = {s->a, "", 0}, silent = {s->a, "", 0};

	EACH_BOX(s, b)
	{
		if (box_says(b) && !box_good(b))
			name_add(&bad, b->name);
		else if (!box_says(b) && !pod_good)
			name_add(&silent, b->name);
	}
	if (bad.n)
		return arena_printf(s->a, "%s%s", pod_bad ? "pod and " : "",
		                    told(&bad, "container", text));
	if (pod_bad)
		return arena_printf(s->a, "pod %s", text);
	return silent.n ? arena_printf(s->a, "pod or %s", told(&silent, "container", text)) : NULL;
}

static bool box_says_non_root(const struct box *b)
{
	return b->sc && b->sc->has_run_as_non_root;
}

static bool box_non_root(const struct box *b)
{
	return b->sc->run_as_non_root;
}

static const char *run_as_non_root(const struct subject *s, const char **ret_reason)
{
	const CoreV1__PodSecurityContext *pc = s->spec->security_context;
	bool says = pc && pc->has_run_as_non_root;

	*ret_reason = "runAsNonRoot != true";
	return by_pod_or_box(s, says && pc->run_as_non_root, says && !pc->run_as_non_root,
	                     box_non_root, box_says_non_root,
	                     "must set securityContext.runAsNonRoot=true");
}

static const char *run_as_user(const struct subject *s, const char **ret_reason)
{
	const CoreV1__PodSecurityContext *pc = s->spec->security_context;
	bool pod = pc && pc->has_run_as_user && pc->run_as_user == 0;
	struct names n = {s->a, "", 0};

	EACH_BOX(s, b)
	if (b->sc && b->sc->has_run_as_user && b->sc->run_as_user == 0)
		name_add(&n, b->name);
	*ret_reason = "runAsUser=0";
	if (!pod && !n.n)
		return NULL;
	if (!n.n)
		return "pod must not set runAsUser=0";
	return arena_printf(s->a, "%s%s", pod ? "pod and " : "",
	                    told(&n, "container", "must not set runAsUser=0"));
}

static bool box_says_seccomp(const struct box *b)
{
	return b->sc && b->sc->seccomp_profile;
}

static bool box_seccomp(const struct box *b)
{
	return known_profile(b->sc->seccomp_profile->type);
}

static const char *seccomp_restricted(const struct subject *s, const char **ret_reason)
{
	const CoreV1__PodSecurityContext *pc = s->spec->security_context;
	bool says = pc && pc->seccomp_profile;
	bool good = says && known_profile(pc->seccomp_profile->type);

	*ret_reason = "seccompProfile";
	if (windows(s))
		return NULL;
	return by_pod_or_box(
	    s, good, says && !good, box_seccomp, box_says_seccomp,
	    "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or "
	    "\"Localhost\"");
}

/* --- levels
 * ------------------------------------------------------------------------------------------- */

/* Sorted as upstream sorts its checks; a restricted check stands in for the baseline's of the same
 * subject. */
static const struct {
	check_fn check;
	bool baseline, restricted;
} CHECKS[] = {
    {app_armor, true, true},
    {capabilities_baseline, true, false},
    {host_namespaces, true, true},
    {host_path, true, true},
    {host_ports, true, true},
    {probe_hosts, true, true},
    {privileged, true, true},
    {proc_mount, true, true},
    {se_linux, true, true},
    {seccomp_baseline, true, false},
    {sysctls, true, true},
    {windows_host_process, true, true},
    {privilege_escalation, false, true},
    {capabilities_restricted, false, true},
    {restricted_volumes, false, true},
    {run_as_non_root, false, true},
    {run_as_user, false, true},
    {seccomp_restricted, false, true},
};

static const char *const LEVELS[] = {"privileged", "baseline", "restricted"};

bool pod_security_level_parse(const char *text, enum pod_security_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(LEVELS); i++) {
		if (!strcmp(LEVELS[i], text)) {
			*ret = (enum pod_security_level)i;
			return true;
		}
	}
	return false;
}

const char *pod_security_level_name(enum pod_security_level level)
{
	return LEVELS[level];
}

static struct box box_of(const CoreV1__Container *c)
{
	return (struct box){c->name,
	                    c->security_context,
	                    c->ports,
	                    c->n_ports,
	                    {c->liveness_probe, c->readiness_probe, c->startup_probe},
	                    c->lifecycle};
}

static struct subject subject_of(const MetaV1__ObjectMeta *meta, const CoreV1__PodSpec *spec,
                                 struct arena *a)
{
	struct subject s = {.meta = meta, .spec = spec, .a = a};

	s.boxes = arena_array(a, struct box,
	                      spec->n_init_containers + spec->n_containers +
	                          spec->n_ephemeral_containers);
	for (size_t i = 0; i < spec->n_init_containers; i++)
		s.boxes[s.n_boxes++] = box_of(spec->init_containers[i]);
	for (size_t i = 0; i < spec->n_containers; i++)
		s.boxes[s.n_boxes++] = box_of(spec->containers[i]);
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++) {
		const CoreV1__EphemeralContainerCommon *c =
		    spec->ephemeral_containers[i]->ephemeral_container_common;

		s.boxes[s.n_boxes++] = (struct box){.name = c->name,
		                                    .sc = c->security_context,
		                                    .ports = c->ports,
		                                    .n_ports = c->n_ports};
	}
	return s;
}

const char *pod_security_check(enum pod_security_level level, const MetaV1__ObjectMeta *meta,
                               const CoreV1__PodSpec *spec, bool details, struct arena *a)
{
	struct subject s = subject_of(meta, spec, a);
	const char *text = NULL;

	for (size_t i = 0; level != POD_SECURITY_PRIVILEGED && i < ARRAY_LEN(CHECKS); i++) {
		const char *reason, *detail;

		if (level == POD_SECURITY_BASELINE ? !CHECKS[i].baseline : !CHECKS[i].restricted)
			continue;
		detail = CHECKS[i].check(&s, &reason);
		if (!detail)
			continue;
		text = arena_printf(a, "%s%s%s%s%s%s", text ? text : "", text ? ", " : "", reason,
		                    details ? " (" : "", details ? detail : "", details ? ")" : "");
	}
	return text;
}
