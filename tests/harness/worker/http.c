/* SPDX-License-Identifier: BSD-2-Clause */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/header.h"

size_t http_read_request(struct request *request, char *text, size_t len)
{
	char *end = memmem(text, len, "\r\n\r\n", 4);
	const char *length;
	size_t length_len;

	if (!end)
		return 0;
	end[2] = '\0';
	length = header_value(text, "\r\nContent-Length:", &length_len);
	request->body_left = length ? strtoull(length, NULL, 10) : 0;
	request->close = header_begins(text, "\r\nConnection:", "close");
	if (strstr(text, " HTTP/1.0\r\n"))
		request->close = !header_begins(text, "\r\nConnection:", "keep-alive");
	request->wants_pid = strncmp(text, "GET /pid ", strlen("GET /pid ")) == 0;
	request->open = true;
	return (size_t)(end + 4 - text);
}

size_t http_write_answer(char text[ANSWER_MAX], const struct request *request, const char *id)
{
	char body[ANSWER_MAX / 2];
	int body_len;

	if (request->wants_pid)
		body_len = snprintf(body, sizeof(body), "%d\n", getpid());
	else
		body_len = snprintf(body, sizeof(body), "%s\n", id);
	return (size_t)snprintf(text, ANSWER_MAX,
	                        "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
	                        "X-Worker: %s\r\n%s\r\n%s",
	                        request->fails ? "500 Internal Server Error" : "200 OK", body_len,
	                        id, request->close ? "Connection: close\r\n" : "", body);
}
