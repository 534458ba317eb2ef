/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admit/subject_restriction.h"
#include <openssl/pem.h>
#include <openssl/x509.h>
#include "proto/certificates_v1.pb-c.h"
#include "proto/resource_table.h"

#define SIGNER "kubernetes.io/kube-apiserver-client"

static bool in_masters(const X509_REQ *csr)
{
	const X509_NAME *subject = X509_REQ_get_subject_name(csr);
	bool found = false;

	for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
		const X509_NAME_ENTRY *e = X509_NAME_get_entry(subject, i);
		unsigned char *text = NULL;

		if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(e)) != NID_organizationName)
			continue;
		int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(e));
		found |= n >= 0 && slice_eq_str(slice_of(text, (size_t)n), "system:masters");
		OPENSSL_free(text);
	}
	return found;
}

const char *subject_restriction(const struct admission_attrs *at)
{
	const CertificatesV1__CertificateSigningRequestSpec *spec;
	const char *why = NULL;

	if (at->op != ADMIT_CREATE ||
	    strcmp(at->res->resource, "certificatesigningrequests") != 0 ||
	    strcmp(at->res->group, "certificates.k8s.io") != 0)
		return NULL;
	spec = OBJECT_MSG(at->obj, CertificatesV1__CertificateSigningRequest)->spec;
	if (strcmp(spec->signer_name, SIGNER) != 0)
		return NULL;
	BIO *bio = BIO_new_mem_buf(spec->request.data, (int)spec->request.len);
	X509_REQ *csr = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;

	if (!csr)
		why = "the certificate request cannot be read";
	else if (in_masters(csr))
		why = "use of " SIGNER " signer with system:masters group is not allowed";
	X509_REQ_free(csr);
	BIO_free(bio);
	return why;
}
