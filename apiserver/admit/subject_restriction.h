/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* CertificateSubjectRestriction: nobody asks the signer of client certificates for one in
 * system:masters. */
#include "apiserver/endpoints/pipeline.h"

/* Why the request is refused, or NULL. */
const char *subject_restriction(const struct admission_attrs *at);
