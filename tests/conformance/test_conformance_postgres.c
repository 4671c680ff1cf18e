/* The adapter `postgres` under the conformance suite, on a server of its own. */
#include "adapters/postgres/postgres.h"

#include "migrate/base/alloc.h"
#include "tests/support/conformance.h"
#include "tests/support/pg_server.h"

static void fresh(struct conformance_fixture *fixture)
{
    pg_server_exec(fixture->state, "postgres",
                   "SET client_min_messages = error; DROP SCHEMA IF EXISTS conf CASCADE;"
                   " DROP SCHEMA IF EXISTS nsmigrate CASCADE");
}

int main(void)
{
    struct pg_server *const server = pg_server_new();
    NSM_CLEANUP(nsm_freep) char *url = pg_server_url(server, "postgres");
    struct conformance_fixture fixture = {
        .name = "postgres",
        .adapter = &nsm_adapter_postgres,
        .backend = {"url", url},
        .source = {"table", "conf.table_1"},
        .destination = {"schema", "conf"},
        .missing = {"table", "conf.no_such_table"},
        .model = NSM_CAP_ROWS,
        .fresh = fresh,
        .state = server,
    };
    const int n_failed = conformance_run(&fixture);
    pg_server_free(server);
    return n_failed;
}
