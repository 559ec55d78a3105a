/* SPDX-License-Identifier: BSD-2-Clause */
/* The version labels of a schedule. */
#pragma once

#include <stdbool.h>
#include <reuseportd/abi.h>

/* Whether @label is a valid version label: 1 to RPD_LABEL_MAX - 1 printable ASCII characters, no
 * space. */
bool schedule_version_is_label(const char *label);

/* The index in s->versions of @label, or -1. */
int schedule_version_find(const struct rpd_schedule *s, const char *label);

/* As schedule_version_find(), but adds the label if it is new. -ENOSPC if there are RPD_VERSION_MAX
 * labels already, -EINVAL if the label is not valid. */
int schedule_version_add(struct rpd_schedule *s, const char *label);

/* Frees the labels that no slot with a worker has any more, except that of only_version. */
void schedule_version_forget_unused(struct rpd_schedule *s);
