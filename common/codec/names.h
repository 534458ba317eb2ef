/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Syntax checks of names and small values (apimachinery util/validation), with upstream's texts.
 *
 * Each returns the number of messages that it wrote to `ret` (0: valid), at most NAMES_MAX; a
 * message is a constant or lives in the arena. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"

enum { NAMES_MAX = 6 };

size_t names_dns1123_label(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_dns1123_subdomain(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
/* Upper case and underscores allowed (relaxed environment of search paths). */
size_t names_dns1123_subdomain_underscore(const char *s, struct arena *a,
                                          const char *ret[NAMES_MAX]);
size_t names_dns1035_label(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_wildcard_dns1123_subdomain(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_qualified(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_label_value(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_c_identifier(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_env_var(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_relaxed_env_var(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_config_map_key(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_http_header(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_port_name(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_port_number(int64_t port, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_percent(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
/* Names that are one segment of a path: no "/", no "%", not "." or "..". */
size_t names_path_segment(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
/* "a.b/c": a subdomain and a path (IsDomainPrefixedPath). */
size_t names_domain_prefixed_path(const char *s, struct arena *a, const char *ret[NAMES_MAX]);

bool names_is_dns1123_label(const char *s);
bool names_is_dns1123_subdomain(const char *s);
bool names_is_qualified(const char *s);
bool names_is_label_value(const char *s);
/* The form with `-` that generateName needs: a name that may end in "-". */
size_t names_dns1123_label_prefix(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
size_t names_dns1123_subdomain_prefix(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
