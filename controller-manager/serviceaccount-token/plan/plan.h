/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Secrets of type kubernetes.io/service-account-token, the older form of service-account tokens
 * (kubernetes pkg/controller/serviceaccount/tokens_controller.go): they get a token that does not
 * expire, the root CA and the namespace, and go with their account. Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/slice.h"
#include "proto/core_v1.pb-c.h"

#define TOKEN_SECRET_TYPE "kubernetes.io/service-account-token"

/* Whose Secret it is: its annotations; NULL: nobody's. */
const char *token_secret_account(const CoreV1__Secret *secret);
/* The uid that it names; NULL: none. */
const char *token_secret_account_uid(const CoreV1__Secret *secret);
/* It names this account (an annotated uid must be its own). */
bool token_secret_is_of(const CoreV1__Secret *secret, const CoreV1__ServiceAccount *account);
/* The token is not there yet. */
bool token_secret_lacks_token(const CoreV1__Secret *secret);
/* The Secret with what it lacks; token is put in where there is none. NULL: it is right. */
CoreV1__Secret *token_secret_fill(const CoreV1__Secret *secret,
                                  const CoreV1__ServiceAccount *account, struct slice ca,
                                  struct slice token, struct arena *a);
/* The claims of its token, as JSON. */
const char *token_secret_claims(const CoreV1__Secret *secret, const CoreV1__ServiceAccount *account,
                                struct arena *a);
