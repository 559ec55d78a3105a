/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/http_response.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/memory.h"
#include "view/json_print.h"
#include "web/http_library.h"

#define TYPE_JSON "application/json"

/* A script of the page may only ask this server, and no page of another site may show ours. */
#define POLICY                                                                                     \
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "    \
	"'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const struct {
	const char *name, *value;
} headers[] = {
        {MHD_HTTP_HEADER_CONNECTION, "close"}, /* each response ends its connection */
        {"Content-Security-Policy", POLICY},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
};

static struct MHD_Response *http_response_make(void *bytes, size_t n,
                                               enum MHD_ResponseMemoryMode mode, const char *type,
                                               const char *cache)
{
	struct MHD_Response *response = http.create_response_from_buffer(n, bytes, mode);

	if (!response)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		http.add_response_header(response, headers[i].name, headers[i].value);
	http.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	http.add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, cache);
	return response;
}

struct MHD_Response *http_response_new(char *text, size_t n, const char *type)
{
	struct MHD_Response *response =
	        http_response_make(text, n, MHD_RESPMEM_MUST_FREE, type, "no-store");

	if (!response)
		free(text);
	return response;
}

struct MHD_Response *http_response_new_json(struct json_object *object)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = memory_need(open_memstream(&text, &n));

	json_print_line(out, object);
	memory_need(memory_close_text(out, &text));
	return http_response_new(text, n, TYPE_JSON);
}

struct MHD_Response *http_response_new_error(const char *text)
{
	struct json_object *object = json_build_new_object();
	struct MHD_Response *response;

	json_build_text(object, "error", text);
	response = http_response_new_json(object);
	json_object_put(object);
	return response;
}

struct MHD_Response *http_response_new_look(struct look *look, const char *type)
{
	if (look->json)
		return http_response_new_json(look->json);
	return http_response_new(TAKE_PTR(look->text), look->n, type);
}

struct MHD_Response *http_response_new_file(const struct page_file *file, const char *type,
                                            bool known)
{
	struct MHD_Response *response = http_response_make(
	        (void *)file->bytes, known ? 0 : file->n, MHD_RESPMEM_PERSISTENT, type, "no-cache");

	if (response)
		http.add_response_header(response, MHD_HTTP_HEADER_ETAG, file->etag);
	return response;
}

enum MHD_Result http_response_send(struct MHD_Connection *connection, unsigned int status,
                                   struct MHD_Response *response)
{
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	r = http.queue_response(connection, status, response);
	http.destroy_response(response);
	return r;
}
