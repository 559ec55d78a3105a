/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/service_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int service_name_check(const char *service, struct error *err)
{
	size_t n = strlen(service);

	if (n == 0 || n >= RPD_LABEL_MAX || !isalpha((unsigned char)service[0]))
		goto bad;
	for (size_t i = 1; i < n; i++)
		if (!isalnum((unsigned char)service[i]) && !strchr("-_", service[i]))
			goto bad;
	return 0;
bad:
	return error_usage(err,
	                   "'%s' is not a valid service name: a letter, then letters, digits, "
	                   "'-' and '_', at most %d characters",
	                   service, RPD_LABEL_MAX - 1);
}

bool service_name_is_trial(const char *service)
{
	return strncmp(service, SERVICE_NAME_TRIAL, strlen(SERVICE_NAME_TRIAL)) == 0;
}

void service_name_derive(const char *program, uint16_t port, char ret[RPD_LABEL_MAX])
{
	char suffix[sizeof("-65535")] = "";
	size_t n = 0;

	if (port)
		snprintf(suffix, sizeof(suffix), "-%u", port);
	if (!isalpha((unsigned char)program[0]))
		ret[n++] = 'p';
	for (; *program && n < RPD_LABEL_MAX - 1 - strlen(suffix); program++)
		ret[n++] = isalnum((unsigned char)*program) ? *program : '-';
	strcpy(ret + n, suffix);
}
