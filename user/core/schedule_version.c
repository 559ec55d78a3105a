/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/schedule_version.h"

#include <errno.h>
#include <string.h>

#include "core/schedule_eligible.h"

static bool schedule_version_is_used(const struct rpd_schedule *s, unsigned int version)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (s->slots[i].version == version && schedule_eligible_is_admitted(&s->slots[i]))
			return true;
	return version == s->only_version;
}

void schedule_version_forget_unused(struct rpd_schedule *s)
{
	for (unsigned int v = 0; v < RPD_VERSION_MAX; v++)
		if (!schedule_version_is_used(s, v))
			s->versions[v] = (struct rpd_version){};
}

int schedule_version_find(const struct rpd_schedule *s, const char *label)
{
	if (!label[0])
		return -1;
	for (int v = 0; v < RPD_VERSION_MAX; v++)
		if (strcmp(s->versions[v].label, label) == 0)
			return v;
	return -1;
}

bool schedule_version_is_label(const char *label)
{
	size_t len = 0;

	while (label[len] > ' ' && label[len] <= '~')
		len++;
	return len > 0 && len < RPD_LABEL_MAX && label[len] == '\0';
}

int schedule_version_add(struct rpd_schedule *s, const char *label)
{
	int found = schedule_version_find(s, label);

	if (!schedule_version_is_label(label))
		return -EINVAL;
	if (found >= 0)
		return found;
	for (int v = 0; v < RPD_VERSION_MAX; v++)
		if (!s->versions[v].label[0]) {
			strcpy(s->versions[v].label, label); /* its length was checked */
			return v;
		}
	return -ENOSPC;
}
