/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* --admission-control-config-file: an AdmissionConfiguration of apiserver.config.k8s.io/v1, which
 * has plugins' configurations in it or says in which files they are. */
#include "common/codec/jvalue.h"

struct admit_config {
	const char *plugin;
	const struct jvalue *configuration;
};

/* In the arena; their number, or -ERR_x. */
_must_use_ int admit_config_read(const char *file, struct arena *a, struct admit_config **ret,
                                 struct err *err);
