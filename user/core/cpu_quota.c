/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cpu_quota.h"

#include <stdlib.h>
#include <string.h>

static unsigned int cpu_quota_round_up(long long quota, long long period)
{
	long long n;

	if (quota <= 0 || period <= 0)
		return CPU_QUOTA_NONE;
	n = quota / period + (quota % period > 0);
	return n < CPU_QUOTA_NONE ? (unsigned int)n : CPU_QUOTA_NONE;
}

unsigned int cpu_quota_read_max(const char *text)
{
	char *rest;
	const long long quota = strtoll(text, &rest, 10);

	return cpu_quota_round_up(quota, strtoll(rest, NULL, 10));
}

unsigned int cpu_quota_read_cfs(const char *quota, const char *period)
{
	return cpu_quota_round_up(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The first @n bytes of @list are a list. */
static bool cpu_quota_is_listed(const char *list, size_t n, const char *word)
{
	const size_t length = strlen(word);

	for (size_t at = 0, end; at < n; at = end + 1) {
		end = at + strcspn(list + at, ",");
		if (end > n)
			end = n;
		if (end - at == length && !strncmp(list + at, word, length))
			return true;
	}
	return false;
}

bool cpu_quota_has_word(const char *list, const char *word)
{
	return cpu_quota_is_listed(list, strcspn(list, " \n"), word);
}

/* Each line is "NUMBER:CONTROLLERS:PATH"; cgroup 2 has no controllers. */
bool cpu_quota_find_cgroup(const char *text, const char *controller, char *buf, size_t size)
{
	for (const char *line = text; *line;) {
		const char *end = line + strcspn(line, "\n");
		const char *list = memchr(line, ':', end - line);
		const char *path = list ? memchr(list + 1, ':', end - list - 1) : NULL;

		if (path && (controller ? cpu_quota_is_listed(list + 1, path - list - 1, controller)
		                        : path == list + 1)) {
			if ((size_t)(end - path) > size)
				return false;
			memcpy(buf, path + 1, end - path - 1);
			buf[end - path - 1] = '\0';
			return true;
		}
		line = *end ? end + 1 : end;
	}
	return false;
}

const char *cpu_quota_below(const char *cgroup, const char *root)
{
	const size_t length = strcmp(root, "/") ? strlen(root) : 0;

	/* In a cgroup namespace, cgroups that are not below its root begin with "/..". */
	if (strncmp(cgroup, root, length) != 0 || cgroup[length] != '/' || strstr(cgroup, "/.."))
		return "";
	return strcmp(cgroup + length, "/") ? cgroup + length : "";
}
