/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/container_config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/rng.h"
#include "common/codec/quantity.h"
#include "kubelet/cgroup/cgroups.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/field_ref.h"
#include "kubelet/pod/files.h"
#include "kubelet/volume/volume.h"

static bool is_set(const char *s)
{
	return s && *s;
}

/* Mounts */

static CriV1__Mount *add_mount(CriV1__ContainerConfig *cfg, struct arena *a, const char *inside,
                               const char *outside)
{
	CriV1__Mount *m = CRI_NEW(a, CriV1__Mount, CRI_V1__MOUNT__INIT);
	m->container_path = (char *)(uintptr_t)inside;
	m->host_path = (char *)(uintptr_t)outside;
	cfg->mounts =
	    arena_grow(a, cfg->mounts, cfg->n_mounts * sizeof(m), (cfg->n_mounts + 1) * sizeof(m));
	return cfg->mounts[cfg->n_mounts++] = m;
}

static int add_volume_mount(struct pod *p, const CoreV1__Container *c, size_t i,
                            const struct env *env, CriV1__ContainerConfig *cfg, struct arena *a,
                            struct err *err)
{
	const CoreV1__VolumeMount *vm = c->volume_mounts[i];
	const char *host = volume_path(p, vm->name, a);
	if (!host)
		return err_set(err, ERR_NOT_FOUND,
		               "cannot find volume \"%s\" to mount into container \"%s\"", vm->name,
		               c->name);
	const char *sub = vm->sub_path, *missing = NULL;
	if (is_set(vm->sub_path_expr)) {
		sub = env_expand_strict(env, vm->sub_path_expr, a, &missing);
		if (!sub)
			return err_set(err, ERR_NOT_FOUND, "missing value for \"%s\"", missing);
	}
	if (is_set(sub)) {
		host = volume_subpath(p, c->name, i, host, sub, a, err);
		if (!host)
			return -err->code;
	}
	const char *inside =
	    *vm->mount_path == '/' ? vm->mount_path : arena_printf(a, "/%s", vm->mount_path);
	CriV1__Mount *m = add_mount(cfg, a, inside, host);
	m->readonly = vm->read_only;
	if (is_set(vm->mount_propagation) && !strcmp(vm->mount_propagation, "HostToContainer"))
		m->propagation = CRI_V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
	else if (is_set(vm->mount_propagation) && !strcmp(vm->mount_propagation, "Bidirectional"))
		m->propagation = CRI_V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
	return 0;
}

static bool mounts_at(const CriV1__ContainerConfig *cfg, const char *path)
{
	for (size_t i = 0; i < cfg->n_mounts; i++)
		if (!strcmp(cfg->mounts[i]->container_path, path))
			return true;
	return false;
}

static int add_mounts(struct pod *p, const CoreV1__Container *c, const struct env *env,
                      CriV1__ContainerConfig *cfg, struct arena *a, struct err *err)
{
	for (size_t i = 0; i < c->n_volume_mounts; i++) {
		int r = add_volume_mount(p, c, i, env, cfg, a, err);
		if (r)
			return r;
	}
	if (!mounts_at(cfg, "/etc/hosts")) {
		const char *hosts = hosts_file_write(p, a, err);
		if (!hosts)
			return -err->code;
		add_mount(cfg, a, "/etc/hosts", hosts);
	}
	if (is_set(c->termination_message_path)) {
		const char *file = termination_file_make(p, c->name, a, err);
		if (!file)
			return -err->code;
		add_mount(cfg, a, c->termination_message_path, file);
	}
	return 0;
}

/* Security */

static const char *const masked_paths[] = {
    "/proc/asound",      "/proc/acpi",          "/proc/interrupts", "/proc/kcore",
    "/proc/keys",        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi",          "/sys/firmware",    "/sys/devices/virtual/powercap",
};
static const char *const readonly_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static CriV1__SecurityProfile *seccomp_of(const struct pod *p, const CoreV1__SeccompProfile *s,
                                          struct arena *a)
{
	CriV1__SecurityProfile *r =
	    CRI_NEW(a, CriV1__SecurityProfile, CRI_V1__SECURITY_PROFILE__INIT);
	r->profile_type = CRI_V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
	if (s ? !strcmp(s->type, "RuntimeDefault") : p->k->config->seccomp_default)
		r->profile_type = CRI_V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	if (s && !strcmp(s->type, "Localhost")) {
		r->profile_type = CRI_V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
		r->localhost_ref =
		    arena_printf(a, "%s/seccomp/%s", p->k->config->root_dir, s->localhost_profile);
	}
	return r;
}

static CriV1__Int64Value *int_value(struct arena *a, int64_t v)
{
	CriV1__Int64Value *i = CRI_NEW(a, CriV1__Int64Value, CRI_V1__INT64_VALUE__INIT);
	i->value = v;
	return i;
}

static void set_user(CriV1__LinuxContainerSecurityContext *s, const CoreV1__PodSecurityContext *psc,
                     const CoreV1__SecurityContext *sc, const struct image_info *image,
                     struct arena *a)
{
	if (sc && sc->has_run_as_user)
		s->run_as_user = int_value(a, sc->run_as_user);
	else if (psc && psc->has_run_as_user)
		s->run_as_user = int_value(a, psc->run_as_user);
	else if (image->has_uid || !is_set(image->username))
		s->run_as_user = int_value(a, image->has_uid ? image->uid : 0);
	else
		s->run_as_username = (char *)(uintptr_t)image->username;
	bool user = s->run_as_user || is_set(s->run_as_username);
	if (sc && sc->has_run_as_group && user)
		s->run_as_group = int_value(a, sc->run_as_group);
	else if (psc && psc->has_run_as_group && user)
		s->run_as_group = int_value(a, psc->run_as_group);
	if (!psc)
		return;
	s->supplemental_groups = arena_array(a, int64_t, psc->n_supplemental_groups + 1);
	for (size_t i = 0; i < psc->n_supplemental_groups; i++)
		s->supplemental_groups[s->n_supplemental_groups++] = psc->supplemental_groups[i];
	if (psc->has_fs_group)
		s->supplemental_groups[s->n_supplemental_groups++] = psc->fs_group;
	if (is_set(psc->supplemental_groups_policy) &&
	    !strcmp(psc->supplemental_groups_policy, "Strict"))
		s->supplemental_groups_policy = CRI_V1__SUPPLEMENTAL_GROUPS_POLICY__Strict;
}

/* runAsNonRoot must not be answered by root. */
static int check_user(const struct pod *p, const CoreV1__Container *c,
                      const CriV1__LinuxContainerSecurityContext *s,
                      const CoreV1__PodSecurityContext *psc, const CoreV1__SecurityContext *sc,
                      struct err *err)
{
	bool non_root =
	    sc && sc->has_run_as_non_root ? sc->run_as_non_root : psc && psc->run_as_non_root;
	bool said = (sc && sc->has_run_as_user) || (psc && psc->has_run_as_user);
	if (!non_root)
		return 0;
#define WHERE "(pod: \"%s_%s(%s)\", container: %s)", p->name, p->ns, p->uid, c->name
	if (s->run_as_user && !s->run_as_user->value)
		return said ? err_set(err, ERR_INVALID,
		                      "container's runAsUser breaks non-root policy " WHERE)
		            : err_set(
		                  err, ERR_INVALID,
		                  "container has runAsNonRoot and image will run as root " WHERE);
	if (!s->run_as_user && is_set(s->run_as_username))
		return err_set(
		    err, ERR_INVALID,
		    "container has runAsNonRoot and image has non-numeric user (%s), cannot "
		    "verify user is non-root (pod: \"%s_%s(%s)\", container: %s)",
		    s->run_as_username, p->name, p->ns, p->uid, c->name);
#undef WHERE
	return 0;
}

/* The container whose processes an ephemeral container sees; NULL: none. */
static const struct runtime_container *target_of(const struct pod *p, const CoreV1__Container *c)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	for (size_t i = 0; i < s->n_ephemeral_containers; i++) {
		const CoreV1__EphemeralContainer *e = s->ephemeral_containers[i];
		if (!strcmp(e->ephemeral_container_common->name, c->name) &&
		    is_set(e->target_container_name))
			return runtime_newest(&p->rt, e->target_container_name);
	}
	return NULL;
}

static CriV1__NamespaceOption *namespaces_of(const struct pod *p, const CoreV1__Container *c,
                                             struct arena *a)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	const struct runtime_container *target = target_of(p, c);
	CriV1__NamespaceOption *n =
	    CRI_NEW(a, CriV1__NamespaceOption, CRI_V1__NAMESPACE_OPTION__INIT);
	n->network = s->host_network ? CRI_V1__NAMESPACE_MODE__NODE : CRI_V1__NAMESPACE_MODE__POD;
	n->ipc = s->host_ipc ? CRI_V1__NAMESPACE_MODE__NODE : CRI_V1__NAMESPACE_MODE__POD;
	n->pid = s->host_pid                  ? CRI_V1__NAMESPACE_MODE__NODE
	         : s->share_process_namespace ? CRI_V1__NAMESPACE_MODE__POD
	                                      : CRI_V1__NAMESPACE_MODE__CONTAINER;
	if (target && n->pid == CRI_V1__NAMESPACE_MODE__CONTAINER) {
		n->pid = CRI_V1__NAMESPACE_MODE__TARGET;
		n->target_id = (char *)(uintptr_t)target->id;
	}
	return n;
}

static int security_of(const struct pod *p, const CoreV1__Container *c,
                       const struct image_info *image, struct arena *a,
                       CriV1__LinuxContainerSecurityContext **ret, struct err *err)
{
	const CoreV1__PodSecurityContext *psc = p->spec->spec->security_context;
	const CoreV1__SecurityContext *sc = c->security_context;
	CriV1__LinuxContainerSecurityContext *s =
	    CRI_NEW(a, CriV1__LinuxContainerSecurityContext,
	            CRI_V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT);
	*ret = s;
	s->namespace_options = namespaces_of(p, c, a);
	set_user(s, psc, sc, image, a);
	s->seccomp = seccomp_of(p,
	                        sc && sc->seccomp_profile ? sc->seccomp_profile
	                        : psc                     ? psc->seccomp_profile
	                                                  : NULL,
	                        a);
	s->privileged = sc && sc->privileged;
	s->readonly_rootfs = sc && sc->read_only_root_filesystem;
	s->no_new_privs =
	    sc && sc->has_allow_privilege_escalation && !sc->allow_privilege_escalation;
	bool unmasked = sc && is_set(sc->proc_mount) && !strcmp(sc->proc_mount, "Unmasked");
	if (!unmasked && !s->privileged) {
		s->masked_paths = (char **)(uintptr_t)masked_paths;
		s->n_masked_paths = ARRAY_LEN(masked_paths);
		s->readonly_paths = (char **)(uintptr_t)readonly_paths;
		s->n_readonly_paths = ARRAY_LEN(readonly_paths);
	}
	if (sc && sc->capabilities) {
		s->capabilities = CRI_NEW(a, CriV1__Capability, CRI_V1__CAPABILITY__INIT);
		s->capabilities->add_capabilities = sc->capabilities->add;
		s->capabilities->n_add_capabilities = sc->capabilities->n_add;
		s->capabilities->drop_capabilities = sc->capabilities->drop;
		s->capabilities->n_drop_capabilities = sc->capabilities->n_drop;
	}
	return check_user(p, c, s, psc, sc, err);
}

/* Words */

static char **expand_all(const struct env *env, char *const *list, size_t n, struct arena *a)
{
	char **r = arena_array(a, char *, n + 1);
	for (size_t i = 0; i < n; i++)
		r[i] = (char *)(uintptr_t)env_expand(env, list[i], a);
	return r;
}

static void add_notes(struct pod *p, const CoreV1__Container *c, uint32_t attempt,
                      CriV1__ContainerConfig *cfg, struct arena *a)
{
#define LABEL(k, v)                                                                        \
	cri_pair_add(a, &cri_v1__container_config__labels_entry__descriptor, &cfg->labels, \
	             &cfg->n_labels, k, v)
#define NOTE(k, v)                                                                \
	cri_pair_add(a, &cri_v1__container_config__annotations_entry__descriptor, \
	             &cfg->annotations, &cfg->n_annotations, k, v)
	LABEL(LABEL_POD_NAME, p->name);
	LABEL(LABEL_POD_NAMESPACE, p->ns);
	LABEL(LABEL_POD_UID, p->uid);
	LABEL(LABEL_CONTAINER_NAME, c->name);
	NOTE(ANNOTATION_HASH, arena_printf(a, "%x", container_hash(c->name, c->image)));
	NOTE(ANNOTATION_RESTART_COUNT, arena_printf(a, "%u", attempt));
	NOTE(ANNOTATION_MESSAGE_PATH,
	     c->termination_message_path ? c->termination_message_path : "");
	NOTE(ANNOTATION_MESSAGE_POLICY,
	     c->termination_message_policy ? c->termination_message_policy : "File");
	if (p->spec->spec->has_termination_grace_period_seconds)
		NOTE(ANNOTATION_POD_GRACE,
		     arena_printf(a, "%lld",
		                  (long long)p->spec->spec->termination_grace_period_seconds));
#undef LABEL
#undef NOTE
}

static void add_env(const struct env *env, CriV1__ContainerConfig *cfg, struct arena *a)
{
	cfg->envs = arena_array(a, CriV1__KeyValue *, env->n + 1);
	for (size_t i = 0; i < env->n; i++) {
		CriV1__KeyValue *kv = CRI_NEW(a, CriV1__KeyValue, CRI_V1__KEY_VALUE__INIT);
		kv->key = (char *)(uintptr_t)env->at[i].name;
		kv->value.data = (uint8_t *)(uintptr_t)env->at[i].value;
		kv->value.len = strlen(env->at[i].value);
		cfg->envs[cfg->n_envs++] = kv;
	}
}

enum object_state container_config(struct pod *p, const CoreV1__Container *c, uint32_t attempt,
                                   const struct image_info *image, loop_fn wake, void *arg,
                                   struct arena *a, CriV1__ContainerConfig **ret, struct err *err)
{
	struct env env;
	enum object_state s = env_build(p, c, wake, arg, a, &env, err);
	if (s != OBJECT_READY)
		return s;
	CriV1__ContainerConfig *cfg =
	    CRI_NEW(a, CriV1__ContainerConfig, CRI_V1__CONTAINER_CONFIG__INIT);
	cfg->metadata = CRI_NEW(a, CriV1__ContainerMetadata, CRI_V1__CONTAINER_METADATA__INIT);
	cfg->metadata->name = c->name;
	cfg->metadata->attempt = attempt;
	cfg->image = CRI_NEW(a, CriV1__ImageSpec, CRI_V1__IMAGE_SPEC__INIT);
	cfg->image->image = (char *)(uintptr_t)image->ref;
	cfg->image->user_specified_image = c->image;
	cfg->command = expand_all(&env, c->command, c->n_command, a);
	cfg->n_command = c->n_command;
	cfg->args = expand_all(&env, c->args, c->n_args, a);
	cfg->n_args = c->n_args;
	cfg->working_dir = c->working_dir ? c->working_dir : (char *)"";
	cfg->stdin = c->stdin;
	cfg->stdin_once = c->stdin_once;
	cfg->tty = c->tty;
	cfg->log_path = arena_printf(a, "%s/%u.log", c->name, attempt);
	add_env(&env, cfg, a);
	add_notes(p, c, attempt, cfg, a);
	cfg->linux_ = CRI_NEW(a, CriV1__LinuxContainerConfig, CRI_V1__LINUX_CONTAINER_CONFIG__INIT);
	cfg->linux_->resources = cgroups_container_resources(p->k->cgroups, p->spec, c,
	                                                     node_memory_bytes(p->k->node), a);
	int r = security_of(p, c, image, a, &cfg->linux_->security_context, err);
	if (!r)
		r = log_folder_make(p, c->name, a, err);
	if (!r)
		r = add_mounts(p, c, &env, cfg, a, err);
	*ret = cfg;
	return r ? OBJECT_FAILED : OBJECT_READY;
}
