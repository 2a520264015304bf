/* Reference products: C = alpha·op(A)·op(B) + beta·C, the bias added to every row and its gradient, and the embedding
 * (a product with one-hot rows). Columns go in blocks whose sums are kept in double on the stack. */
#include <string.h>

#define COLUMNS 256

#define REF_BODY "kernels/cpu/ref_product.inc"
#include "kernels/cpu/ref_precisions.h"
