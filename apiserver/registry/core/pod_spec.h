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
	bool is_template;
	struct index volumes, claims; /* names: places in the spec's lists */
	struct index names;           /* of containers, as they are met */
};

enum container_kind { CONTAINER_MAIN, CONTAINER_INIT, CONTAINER_EPHEMERAL };

void pod_spec_check(struct pod_scope *s);
/* A template of a workload: labels, annotations and spec below `path`. */
void pod_template_check(const struct strategy_ctx *ctx, errs_t errs, path_t path,
                        const CoreV1__PodTemplateSpec *t);

void containers_check(struct pod_scope *s);
void ephemeral_containers_check(struct pod_scope *s);
void volumes_check(struct pod_scope *s);
void affinity_check(struct pod_scope *s);
void tolerations_check(errs_t errs, path_t p, CoreV1__Toleration *const *list, size_t n);
void node_selector_check(errs_t errs, path_t p, const CoreV1__NodeSelector *sel);
void node_selector_term_check(errs_t errs, path_t p, const CoreV1__NodeSelectorTerm *term);
void security_contexts_check(struct pod_scope *s);
void container_security_check(struct pod_scope *s, path_t p, const CoreV1__SecurityContext *sc);
void probes_check(struct pod_scope *s, path_t p, const CoreV1__Container *c,
                  enum container_kind kind);
void env_check(struct pod_scope *s, path_t p, const CoreV1__Container *c);
void resources_check(struct pod_scope *s, path_t p, const CoreV1__ResourceRequirements *r);
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

/* Fractions are refused for resources that are counted. */
bool resource_is_integer(const char *name);
bool resource_is_extended(const char *name);
bool resource_is_hugepages(const char *name);
bool resource_is_native(const char *name);
