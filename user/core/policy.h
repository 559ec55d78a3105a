/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of the policies. */
#pragma once

#include <reuseportd/abi.h>

/* Parses "round-robin" or "sticky". -EINVAL if it is neither. */
int policy_parse(const char *text, enum rpd_policy *ret);

const char *policy_name(enum rpd_policy policy);
