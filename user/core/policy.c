/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/policy.h"

#include <errno.h>
#include <string.h>

static const char *const policy_names[] = {
        [RPD_ROUND_ROBIN] = "round-robin",
        [RPD_STICKY] = "sticky",
        [RPD_LEAST_CONNECTIONS] = "least-connections",
};
_Static_assert(sizeof(policy_names) / sizeof(policy_names[0]) == RPD_POLICY_MAX,
               "a name for each policy");

int policy_parse(const char *text, enum rpd_policy *ret)
{
	for (unsigned int policy = 0; policy < RPD_POLICY_MAX; policy++)
		if (!strcmp(text, policy_names[policy])) {
			*ret = policy;
			return 0;
		}
	return -EINVAL;
}

const char *policy_name(enum rpd_policy policy)
{
	return policy_names[policy];
}
