/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a path and a query mean (apiserver pkg/endpoints/request RequestInfoFactory; meta.k8s.io/v1
 * options). Pure: reads and fills the request, allocates in its arena. */
#include "apiserver/request/request.h"

/* Splits `query_text` ("a=b&c=d", as it came) into r->query, decoded as a form. */
void request_parse_query(struct request *r, struct slice query_text);

/* A boolean as upstream reads it from a query: anything but absent, "false" and "0" is true. */
bool request_query_bool(const struct request *r, const char *name);

/* From method, path and query: is_resource, verb, verb_name, prefix, group, version, ns, resource,
 * subresource, name, parts. Total: what does not look like a resource is a non-resource path. */
void request_info_parse(struct request *r);

/* From verb and query: r->options. The fault (400, 422) of the first option that is wrong, or
 * NULL. */
const struct status *request_options_parse(struct request *r);

/* The options of DELETE and DELETECOLLECTION given in the body, and others that were built by hand,
 * have the same rules: field manager, dry run, field validation, propagation. `kind` is
 * "DeleteOptions" ...; NULL when they hold. `dry_run` lists the values as they were given. */
const struct status *request_options_check(struct request *r, const char *kind,
                                           const char *const *dry_run, size_t n_dry_run,
                                           const char *field_validation);
