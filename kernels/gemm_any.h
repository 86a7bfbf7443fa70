/* SPDX-License-Identifier: Apache-2.0 */
/* The body of one plain product, included once for each element type: NAME is the function's name,
 * T the element. A strip of columns is summed in registers or the first cache over all of K. */

void NAME(size_t m, size_t n, size_t k, const T *a, size_t a_row, size_t a_k, const T *b,
          size_t b_k, size_t b_n, T *c, size_t c_row)
{
    enum { STRIP = 64 };

    for (size_t j = 0; j < n; j += STRIP) {
        const size_t width = n - j < STRIP ? n - j : STRIP;
        for (size_t i = 0; i < m; i++) {
            T sum[STRIP] = {0};
            for (size_t p = 0; p < k; p++) {
                const T x = a[i * a_row + p * a_k];
                const T *row = b + p * b_k + j * b_n;
                if (b_n == 1 && width == STRIP) {
                    for (size_t s = 0; s < STRIP; s++)
                        sum[s] += x * row[s];
                } else {
                    for (size_t s = 0; s < width; s++)
                        sum[s] += x * row[s * b_n];
                }
            }
            for (size_t s = 0; s < width; s++)
                c[i * c_row + j + s] = sum[s];
        }
    }
}
