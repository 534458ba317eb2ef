/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The serving certificate when none is given: self-signed, kept in --cert-dir as apiserver.crt and
 * apiserver.key (apiserver pkg/server/options MaybeDefaultWithSelfSignedCerts). */
#include "common/base/arena.h"
#include "common/base/err.h"

/* Makes the pair unless both files are there; *ret_cert and *ret_key are their paths. `hosts` are
 * names and IP addresses, the first becomes the common name. */
int serving_cert_ensure(const char *folder, const char *const *hosts, size_t n_hosts, int64_t now_s,
                        struct arena *a, const char **ret_cert, const char **ret_key,
                        struct err *err);
