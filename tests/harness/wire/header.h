/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The headers of an HTTP message. @head is the head of the message and ends with a NUL; @name is a
 * header's name with its delimiters: "\r\nContent-Length:".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Returns the value of the header, without surrounding blanks, and its length; NULL if it is
 * missing. */
const char *header_value(const char *head, const char *name, size_t *ret_len);

/* Whether the header exists and its value begins with @text, ignoring case. */
bool header_begins(const char *head, const char *name, const char *text);
