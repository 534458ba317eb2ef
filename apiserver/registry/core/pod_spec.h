/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Validation of what pods and pod templates share. Internal to registry/. */
#include "apiserver/registry/check.h"

/* Where a pod spec stands. */
struct pod_scope {
	const struct strategy_ctx *ctx;
	errs_t errs;
	path_t spec_path;
	const CoreV1__PodSpec *spec;
	const char *name; /* of the pod; NULL in templates */
	bool is_template;
	struct index volumes, claims; /* names: places in the spec's lists */
	struct index names;           /* of containers, as they are met */
};

enum container_kind { CONTAINER_MAIN, CONTAINER_INIT, CONTAINER_EPHEMERAL };

void pod_spec_check(struct pod_scope *s);
/* A template of a workload: labels, annotations and spec below `path`. */
void pod_template_check(const struct strategy_ctx *ctx, errs_t errs, path_t path,
                        const CoreV1__PodTemplateSpec *t);

/* Calls fn with every container of all kinds and its path. */
void pod_each_container(const CoreV1__PodSpec *spec, path_t spec_path,
                        void (*fn)(void *arg, path_t p, const CoreV1__Container *c), void *arg);
/* The annotations that mean something for a pod. */
void pod_annotations_check(errs_t errs, path_t p, struct string_entry *const *map, size_t n,
                           const CoreV1__PodSpec *spec);
/* Annotations and fields that say the same thing differently, on create and in templates. */
void pod_annotations_match(errs_t errs, path_t spec_path, struct string_entry *const *map, size_t n,
                           const CoreV1__PodSpec *spec);
void containers_check(struct pod_scope *s);
void ephemeral_containers_check(struct pod_scope *s);
void volumes_check(struct pod_scope *s);
void affinity_check(struct pod_scope *s);
/* What is asked of a selector by keys must not stand in it as well. */
void selector_keys_check(errs_t errs, path_t p, const MetaV1__LabelSelector *sel, char *const *keys,
                         size_t n);
void tolerations_check(errs_t errs, path_t p, CoreV1__Toleration *const *list, size_t n);
/* The values of a required selector are label values. */
void node_selector_check(errs_t errs, path_t p, const CoreV1__NodeSelector *sel);
void node_selector_term_check(errs_t errs, path_t p, const CoreV1__NodeSelectorTerm *term,
                              bool is_required);
void security_contexts_check(struct pod_scope *s);
void container_security_check(struct pod_scope *s, path_t p, const CoreV1__SecurityContext *sc);
void apparmor_check(errs_t errs, path_t p, const CoreV1__AppArmorProfile *a);
void windows_options_check(errs_t errs, path_t p, const CoreV1__WindowsSecurityContextOptions *w);
void windows_pod_check(struct pod_scope *s);
void linux_pod_check(struct pod_scope *s);
void host_process_check(struct pod_scope *s);
void probes_check(struct pod_scope *s, path_t p, const CoreV1__Container *c,
                  enum container_kind kind);
void env_check(struct pod_scope *s, path_t p, const CoreV1__Container *c);
void resources_check(struct pod_scope *s, path_t p, const CoreV1__ResourceRequirements *r);
/* The resources of the pod as a whole. */
void pod_resources_check(struct pod_scope *s);
/* The names and values of a resource list. */
void resource_list_check(errs_t errs, path_t p, struct quantity_entry *const *list, size_t n);
void quantity_check_nonneg(errs_t errs, path_t p, const char *text);
/* "spec.nodeName" and so on of fieldRef; `volume` allows all labels and annotations. */
void field_selector_check(errs_t errs, path_t p, const CoreV1__ObjectFieldSelector *f, bool volume);
void resource_field_check(errs_t errs, path_t p, const CoreV1__ResourceFieldSelector *r,
                          bool volume);
void local_path_check(errs_t errs, path_t p, const char *path); /* relative, no ".." */
void no_backsteps_check(errs_t errs, path_t p, const char *path);
/* NULL when the pod has no such volume. */
const CoreV1__Volume *pod_volume(const struct pod_scope *s, const char *name);
/* An ephemeral container seen as a container: the two messages have one layout. */
const CoreV1__Container *ephemeral_as_container(const CoreV1__EphemeralContainer *e);

/* A name without a domain is one of those that Kubernetes has. */
void standard_resource_check(errs_t errs, path_t p, const char *name);
/* Names of container resources in limit ranges as well. */
void container_resource_check(errs_t errs, path_t p, const char *name);
/* Fractions are refused for resources that are counted. */
bool resource_is_integer(const char *name);
bool resource_is_extended(const char *name);
bool resource_is_hugepages(const char *name);
bool resource_is_native(const char *name);
