/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of sd_notify(3): lines NAME=VALUE. Pure: the text is an argument. It is untrusted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether one of the lines is READY=1. As for systemd, a NUL byte may end the text, but be nowhere
 * else.
 */
bool notify_message_is_ready(const char *text, size_t n);
