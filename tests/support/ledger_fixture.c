/* What the tests of the ledger share. */
#include "tests/support/ledger_fixture.h"

#include "migrate/base/alloc.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int nsm_fixture_set_up(void **state)
{
    struct nsm_ledger_fixture *const fx = nsm_xcalloc(1, sizeof(*fx));
    const char *const tmp = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): one thread */
    (void)snprintf(fx->folder, sizeof(fx->folder), "%s/nsm_ledger_XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(fx->folder));
    fx->plan = (struct nsm_plan){.path = "plan.yaml",
                                 .folder = fx->folder,
                                 .name = "move-sessions",
                                 .namespaces = fx->namespaces,
                                 .n_namespaces = 4};
    memset(fx->plan.fingerprint, 'a', 32);
    for (size_t i = 0; i < 16; i++) {
        (void)snprintf(fx->names[i], sizeof(fx->names[i]), "ns%zu", i);
        fx->namespaces[i].name = fx->names[i];
    }
    *state = fx;
    return 0;
}

int nsm_fixture_tear_down(void **state)
{
    struct nsm_ledger_fixture *const fx = *state;
    /* Its threads have ended. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    (void)nftw(fx->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(fx);
    return 0;
}

struct nsm_ledger *nsm_fixture_open(struct nsm_ledger_fixture *fx, unsigned flags)
{
    struct nsm_ledger *ledger = NULL;
    nsm_assert_ok(nsm_ledger_open(&fx->plan, flags, &ledger));
    return ledger;
}

struct nsm_ledger *nsm_fixture_begin(struct nsm_ledger_fixture *fx, unsigned flags)
{
    struct nsm_ledger *const ledger = nsm_fixture_open(fx, flags);
    nsm_assert_ok(nsm_ledger_begin(ledger, &fx->plan));
    return ledger;
}

char *nsm_fixture_path(const struct nsm_ledger_fixture *fx, const char *name)
{
    return nsm_xasprintf("%s/.nsmigrate/move-sessions/%s", fx->folder, name);
}

void nsm_fixture_write_file(const char *path, const void *bytes, size_t len)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

mode_t nsm_fixture_mode(const struct nsm_ledger_fixture *fx, const char *name)
{
    char *const path = nsm_fixture_path(fx, name);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    free(path);
    return st.st_mode & 07777;
}

enum nsm_step nsm_fixture_step(struct nsm_ledger *ledger, const char *name)
{
    struct nsm_ledger_namespace ns = {0};
    nsm_assert_ok(nsm_ledger_get(ledger, name, &ns));
    const enum nsm_step step = ns.step;
    nsm_ledger_namespace_release(&ns);
    return step;
}

/* Two tables in three parts. */
struct nsm_census nsm_fixture_census(void)
{
    struct nsm_census census = {0};
    for (int i = 0; i < 2; i++) {
        struct nsm_object *const object = nsm_census_add_object(&census);
        object->schema = "app";
        object->name = i ? "orders" : "users";
        object->version = i ? "v9" : "";
        object->n_records = i ? 100 : 11;
        object->n_bytes = i ? 1000 : 110;
    }
    nsm_census_add_part(&census, 0, (struct nsm_str){"", 0}, 11, 110);
    nsm_census_add_part(&census, 1, (struct nsm_str){"a\0b", 3}, 60, 600);
    nsm_census_add_part(&census, 1, NSM_STR_LIT("rest"), 40, 400);
    return census;
}

void nsm_fixture_set_parts(struct nsm_ledger *ledger, const char *name)
{
    struct nsm_census census = nsm_fixture_census();
    nsm_assert_ok(nsm_ledger_set_parts(ledger, name, &census));
    nsm_census_release(&census);
}

struct nsm_checkpoint nsm_fixture_checkpoint(const char *part_id, uint64_t n, bool is_done)
{
    return (struct nsm_checkpoint){
        .part_id = nsm_str_of(part_id),
        .resume = is_done ? (struct nsm_str){0} : (struct nsm_str){"t\0k", 3},
        .is_done = is_done,
        .n_records = n,
        .n_bytes = n * 10,
        .n_skipped = 2,
        .n_vanished = 1,
        .digest = {.low = n, .high = UINT64_MAX, .n_records = n},
    };
}

void nsm_fixture_note_progress(struct nsm_ledger *ledger)
{
    nsm_fixture_set_parts(ledger, "ns1");
    assert_int_equal(nsm_fixture_step(ledger, "ns1"), NSM_STEP_SURVEYED);
    nsm_ledger_set_status(ledger, "ns1", NULL, NULL, 0);
    nsm_ledger_set_lane(ledger, "ns1", "record");
    nsm_assert_ok(nsm_ledger_set_step(ledger, "ns1", NSM_STEP_PREPARED));
    const struct nsm_checkpoint first = nsm_fixture_checkpoint("ns1/1", 3, false);
    const struct nsm_checkpoint second = nsm_fixture_checkpoint("ns1/1", 7, false);
    const struct nsm_checkpoint done = nsm_fixture_checkpoint("ns1/2", 40, true);
    const struct nsm_checkpoint foreign = nsm_fixture_checkpoint("of nobody", 1, true);
    nsm_ledger_put_checkpoint(ledger, &first);
    nsm_ledger_put_checkpoint(ledger, &done);
    nsm_ledger_put_checkpoint(ledger, &foreign);
    nsm_ledger_put_checkpoint(ledger, &second);
    nsm_ledger_set_status(ledger, "ns1", "failed", "disk on fire", 1.5);
}

/* Forks a child that runs `fn` and says "ready" by what fn writes to the pipe. */
pid_t nsm_fixture_start_child(struct nsm_ledger_fixture *fx,
                              void (*fn)(struct nsm_ledger_fixture *fx, int ready_fd), int *ret_fd)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        /* A test that fails leaves no process behind. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(fds[0]);
        fn(fx, fds[1]);
        _exit(0);
    }
    (void)close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

int nsm_fixture_reap(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}
