/*
 * Feeds every file of the folders and files given to the fuzz target it is linked with: the corpus, replayed in normal builds and under
 * every sanitizer, without a fuzzer. Fails when there is nothing to feed, so that a moved corpus is noticed.
 */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t n_fed;

static int feed(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)walk;
    if (type != FTW_F)
        return 0;
    FILE *const file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    const size_t size = (size_t)status->st_size;
    uint8_t *const bytes = malloc(size + 1);
    const size_t n_read = bytes ? fread(bytes, 1, size, file) : 0;
    (void)fclose(file);
    if (bytes)
        (void)LLVMFuzzerTestOneInput(bytes, n_read);
    free(bytes);
    n_fed++;
    return n_read == size ? 0 : 1;
}

int main(int argc, char **argv)
{
    for (int at = 1; at < argc; at++) {
        if (nftw(argv[at], feed, 8, FTW_PHYS) != 0) {
            (void)fprintf(stderr, "%s: not fed\n", argv[at]);
            return 1;
        }
    }
    (void)printf("%zu inputs\n", n_fed);
    return n_fed > 0 ? 0 : 1;
}
