/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/outcome.h"
#include "common/base/err.h"

static const struct {
	int code;
	const char *text;
} table[OUTCOMES] = {[OUTCOME_OK] = {0, ""},
#define X(name, grpc_code, words) [OUTCOME_##name] = {grpc_code, words},
                     OUTCOME_TABLE(X)
#undef X
};

static int outcome_of(int r)
{
	if (r == -ERR_NO_SPACE)
		return OUTCOME_NO_SPACE;
	if (r == -ERR_CORRUPT)
		return OUTCOME_CORRUPT;
	return r >= 0 && r < OUTCOMES ? r : OUTCOME_STORAGE_FAILED;
}

int outcome_grpc_code(int outcome)
{
	return table[outcome_of(outcome)].code;
}

const char *outcome_text(int outcome)
{
	return table[outcome_of(outcome)].text;
}
