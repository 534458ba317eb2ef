/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Numbers that may be shares of a total (apimachinery util/intstr). Pure. */
#include <stdbool.h>
#include <stdlib.h>
#include "proto/intstr.pb-c.h"

/* NULL is 0. */
static inline int32_t int_or_percent(const Intstr__IntOrString *v, int32_t total, bool round_up)
{
	if (!v)
		return 0;
	if (v->type == 0)
		return v->int_val;
	int64_t product = strtoll(v->str_val, NULL, 10) * total;
	return (int32_t)(round_up ? (product + 99) / 100 : product / 100);
}
