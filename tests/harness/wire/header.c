/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire/header.h"

#include <ctype.h>
#include <string.h>

const char *header_value(const char *head, const char *name, size_t *ret_len)
{
	const char *value = strcasestr(head, name);
	size_t len;

	if (!value)
		return NULL;
	value += strlen(name);
	value += strspn(value, " \t");
	len = strcspn(value, "\r\n");
	while (len > 0 && isspace((unsigned char)value[len - 1]))
		len--;
	*ret_len = len;
	return value;
}

bool header_begins(const char *head, const char *name, const char *text)
{
	size_t len;
	const char *value = header_value(head, name, &len);

	return value && len >= strlen(text) && strncasecmp(value, text, strlen(text)) == 0;
}
