/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/err.h"

#include <stdio.h>
#include <string.h>

struct err_row {
	const char *name;
	int http;
	const char *reason;
	int grpc;
};

static const struct err_row err_rows[ERR_CODE_COUNT] = {
#define X(name, http, reason, grpc) [ERR_##name] = {#name, http, reason, grpc},
    ERR_TABLE(X)
#undef X
};

static const struct err_row *row(int code)
{
	int at = code < 0 ? -code : code;
	return &err_rows[at < ERR_CODE_COUNT ? at : ERR_UNKNOWN];
}

int err_setv(struct err *err, enum err_code code, const char *fmt, va_list ap)
{
	if (err) {
		err->code = code;
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
	}
	return -(int)code;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = err_setv(err, code, fmt, ap);
	va_end(ap);
	return r;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	if (!err)
		return -ERR_UNKNOWN;
	char old[ERR_TEXT_BYTES];
	memcpy(old, err->text, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->text))
		snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %.*s",
			 (int)sizeof(err->text) - n, old);
	return -(int)err->code;
}

const char *err_name(int code)
{
	return row(code)->name;
}

int err_http_status(int code)
{
	return row(code)->http;
}

const char *err_reason(int code)
{
	return row(code)->reason;
}

int err_grpc_status(int code)
{
	return row(code)->grpc;
}
