/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The headers of an HTTP message. @head is its head with a NUL at the end; @name is a header with
 * what stands around its name: "\r\nContent-Length:".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The value without the blanks around it, and its length; NULL when there is no such header. */
const char *header_value(const char *head, const char *name, size_t *ret_len);

/* Whether there is such a header and its value begins with @text, in upper or lower case. */
bool header_begins(const char *head, const char *name, const char *text);
