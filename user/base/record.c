/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/record.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

void record_write_text(const char *text, FILE *out)
{
	const size_t n = text ? strlen(text) + 1 : 0; /* 0: NULL */

	fwrite(&n, sizeof(n), 1, out);
	if (n)
		fwrite(text, 1, n, out);
}

int record_read_text(FILE *in, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t n;

	if (fread(&n, sizeof(n), 1, in) != 1 || n > RECORD_TEXT_MAX)
		return -EBADMSG;
	text = n ? malloc(n) : NULL;
	if (n && !text)
		return -ENOMEM;
	if (n && (fread(text, 1, n, in) != n || memchr(text, '\0', n) != text + n - 1))
		return -EBADMSG;
	*ret = TAKE_PTR(text);
	return 0;
}
