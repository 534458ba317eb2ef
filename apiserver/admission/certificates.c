/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateApproval, CertificateSigning: who approves or signs needs the right for the signer. */
#include "apiserver/admission/pods.h"
#include "proto/certificates_v1.pb-c.h"

#define GROUP "certificates.k8s.io"

/* The right for this signer, or for all signers of its domain. */
static bool may(struct admission *ad, const char *verb, const char *signer)
{
	const char *slash = strchr(signer, '/');
	const struct admission_world *w = ad->world;

	if (w->may(w->arg, verb, GROUP, "signers", signer))
		return true;
	return slash && w->may(w->arg, verb, GROUP, "signers",
	                       arena_printf(ad->arena, "%.*s/*", (int)(slash - signer), signer));
}

static bool is_csr(const struct admission *ad, const char *subresource)
{
	return ad->at->op == ADMIT_UPDATE &&
	       admission_is_sub(ad, GROUP, "certificatesigningrequests", subresource);
}

const struct refusal *certificate_approval(struct admission *ad)
{
	if (!is_csr(ad, "approval"))
		return NULL;
	/* The signer is that of the stored request: it cannot change. */
	const char *signer =
	    OBJECT_MSG(ad->at->old, CertificatesV1__CertificateSigningRequest)->spec->signer_name;

	return may(ad, "approve", signer)
	           ? NULL
	           : admission_forbid(ad,
	                              "user not permitted to approve requests with signerName "
	                              "\"%s\"",
	                              signer);
}

static bool failed(const CertificatesV1__CertificateSigningRequestStatus *s)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, "Failed"))
			return true;
	return false;
}

const struct refusal *certificate_signing(struct admission *ad)
{
	if (!is_csr(ad, "status"))
		return NULL;
	const CertificatesV1__CertificateSigningRequest *old =
	    OBJECT_MSG(ad->at->old, CertificatesV1__CertificateSigningRequest);
	const CertificatesV1__CertificateSigningRequestStatus *new =
	    OBJECT_MSG(ad->at->obj, CertificatesV1__CertificateSigningRequest)->status;
	bool same = old->status->certificate.len == new->certificate.len &&
	            (!new->certificate.len || !memcmp(old->status->certificate.data,
	                                              new->certificate.data, new->certificate.len));

	if ((same && failed(old->status) == failed(new)) || may(ad, "sign", old->spec->signer_name))
		return NULL;
	return admission_forbid(ad, "user not permitted to sign requests with signerName \"%s\"",
	                        old->spec->signer_name);
}
