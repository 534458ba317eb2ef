/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The fields of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1, Kubernetes 1.36) and the
 * flags behind them. */
#include <stddef.h>

enum config_form {
	CONFIG_PLAIN,      /* as the flag takes it; maps as "a=b,c=d" */
	CONFIG_THRESHOLDS, /* a map for a flag "a<b,c<d" */
	CONFIG_PAIRS,      /* a map for a flag "a=b,c=d" that is kept as text */
	CONFIG_TAINTS,     /* a list of {key, value, effect} for "key=value:effect" */
};

struct config_field {
	const char *name; /* parts joined with dots; what is below one is not looked into */
	const char *flag; /* NULL: known, and without effect */
	enum config_form form;
};

extern const struct config_field config_fields[];
extern const size_t n_config_fields;
