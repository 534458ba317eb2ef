/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Error codes and the one table behind them.
 *
 * A function returns 0 or -ERR_x. Where a person reads the cause, its last parameter is a
 * `struct err *` (NULL allowed), filled by err_set, which cannot fail and returns -code so that a
 * failing line reads `return err_set(err, ERR_INVALID, "...")`. The table gives each code its HTTP
 * status, its metav1.StatusReason and its gRPC status (apimachinery pkg/api/errors; grpc
 * statuscodes), so that every daemon's errors and the apiserver's Status come from one place.
 * Positive returns are outcomes of one function, documented there. */
#include <stdarg.h>
#include "common/base/cleanup.h"

/*        name                 http  reason                   grpc */
#define ERR_TABLE(X)                                                                               \
	X(OK,                   200, "",                      0)                                   \
	X(UNKNOWN,              500, "",                      2)                                   \
	X(NOMEM,                500, "InternalError",         8)                                   \
	X(IO,                   500, "InternalError",         13)                                  \
	X(CORRUPT,              500, "InternalError",         15)                                  \
	X(BAD_REQUEST,          400, "BadRequest",            3)                                   \
	X(UNAUTHORIZED,         401, "Unauthorized",          16)                                  \
	X(FORBIDDEN,            403, "Forbidden",             7)                                   \
	X(NOT_FOUND,            404, "NotFound",              5)                                   \
	X(METHOD_NOT_ALLOWED,   405, "MethodNotAllowed",      12)                                  \
	X(NOT_ACCEPTABLE,       406, "NotAcceptable",         3)                                   \
	X(ALREADY_EXISTS,       409, "AlreadyExists",         6)                                   \
	X(CONFLICT,             409, "Conflict",              10)                                  \
	X(GONE,                 410, "Gone",                  11)                                  \
	X(EXPIRED,              410, "Expired",               11)                                  \
	X(TOO_LARGE,            413, "RequestEntityTooLarge", 8)                                   \
	X(UNSUPPORTED_MEDIA,    415, "UnsupportedMediaType",  3)                                   \
	X(INVALID,              422, "Invalid",               3)                                   \
	X(TOO_MANY_REQUESTS,    429, "TooManyRequests",       8)                                   \
	X(INTERNAL,             500, "InternalError",         13)                                  \
	X(NOT_IMPLEMENTED,      501, "NotImplemented",        12)                                  \
	X(UNAVAILABLE,          503, "ServiceUnavailable",    14)                                  \
	X(TIMEOUT,              504, "Timeout",               4)                                   \
	X(SERVER_TIMEOUT,       500, "ServerTimeout",         14)                                  \
	X(NO_SPACE,             500, "InternalError",         8)                                   \
	X(CANCELLED,            499, "",                      1)                                   \
	X(EOF,                  500, "InternalError",         11)                                  \
	X(LIMIT,                400, "BadRequest",            8)

enum err_code {
#define X(name, http, reason, grpc) ERR_##name,
	ERR_TABLE(X)
#undef X
	ERR_CODE_COUNT
};

enum { ERR_TEXT_BYTES = 1024 };

/* A code and its cause in words. Fixed size: filling it cannot fail; a longer text is cut. */
struct err {
	enum err_code code;
	char text[ERR_TEXT_BYTES];
};

#define ERR_INIT ((struct err){.code = ERR_OK})

/* Fills *err (when not NULL) and returns -code. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) _printf_(3, 4);
int err_setv(struct err *err, enum err_code code, const char *fmt, va_list ap) _printf_(3, 0);
/* Puts "prefix: " in front of the text of an error that is already set; returns -err->code. */
int err_prefix(struct err *err, const char *fmt, ...) _printf_(2, 3);

/* Each takes a code, positive or negative. */
const char *err_name(int code);
int err_http_status(int code);
const char *err_reason(int code);
int err_grpc_status(int code);

/* Marks a result that is ignored on purpose; the reason stands beside it. */
#define ERR_IGNORE(expr)                                                                           \
	do {                                                                                       \
		int ignored_ = (expr);                                                             \
		(void)ignored_;                                                                    \
	} while (0)
