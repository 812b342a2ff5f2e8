"""TensorFlow's own tests of a linear operator (`linear_operator_test_util`), for every kind of lattice."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from lattice_oracle import precision_matrix, random_fields
from tensorflow.python.ops.linalg import linear_operator_test_util as theirs

from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.precision import StencilPrecision
from assignment.lattice.stencil import weight_pixels

# TensorFlow says so of the type of every composite that is not its own.
pytestmark = pytest.mark.filterwarnings("ignore:Encoding a StructuredValue:UserWarning")

# A method of TensorFlow's TestCase that pytest takes for a test.
tf.test.TestCase.test_session.__test__ = False


def shape(batch, height, width):
    pixels = height * width
    return theirs.OperatorShapesInfo((*batch, pixels, pixels), batch=batch, height=height, width=width)


class Lattices(theirs.SquareLinearOperatorDerivedClassTest):
    """A single lattice comes from a layer; a batch of them, which no layer holds, is built from its fields."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (info,), (dtype,) = cls.operator_shapes_infos(), cls.dtypes_to_test()
        cls.layer = StencilPrecision(cls.connectivity, cls.weights, dtype=dtype.name)
        cls.layer.build((None, info.height, info.width))

    def operator_and_matrix(self, shapes_info, dtype, use_placeholder, ensure_self_adjoint_and_pd=False):
        batch, height, width = shapes_info.batch, shapes_info.height, shapes_info.width
        fields = random_fields(np.random.default_rng(0), self.connectivity, self.weights, height, width, batch)
        diagonal, couplings = (field.astype(dtype.as_numpy_dtype) for field in fields)
        matrix = precision_matrix(diagonal, couplings, height, width).astype(dtype.as_numpy_dtype)
        if batch:
            diagonal, couplings = given(diagonal, 2, use_placeholder), given(couplings, 3, use_placeholder)
            return LinearOperatorLattice(diagonal, couplings, height, width), tf.constant(matrix)
        if self.weights == "shared":
            theta = np.concatenate([diagonal.ravel(), couplings.ravel()])
        else:
            theta = matrix[weight_pixels(self.connectivity, height, width)]
        with keras.StatelessScope([(self.layer.theta, given(theta, 1, use_placeholder))]):
            return self.layer.operator(), tf.constant(matrix)


def given(value, known, use_placeholder):
    """A constant, or a placeholder of unknown values and batch shape; the last `known` dimensions are static."""
    value = tf.constant(value)
    shape = [None] * (value.shape.rank - known) + value.shape[-known:]
    return tf.compat.v1.placeholder_with_default(value, shape) if use_placeholder else value


class Known(Lattices):
    """Values known to the graph."""

    dtypes_to_test = staticmethod(lambda: [tf.float64])
    use_placeholder_options = staticmethod(lambda: [False])
    adjoint_options = adjoint_arg_options = staticmethod(lambda: [True])

    def test_variables(self):
        fields = random_fields(np.random.default_rng(0), self.connectivity, self.weights, 2, 3)
        operator = LinearOperatorLattice(*map(tf.Variable, fields), 2, 3)
        self.check_convert_variables_to_tensors(operator)
        skip = theirs.CheckTapeSafeSkipOptions  # Neither depends on the couplings.
        self.check_tape_safe(operator, [skip.DIAG_PART, skip.TRACE])


@pytest.mark.slow
class Unknown(Lattices):
    """Values and batch shapes known only when the graph runs."""

    dtypes_to_test = staticmethod(lambda: [tf.float32])
    use_placeholder_options = staticmethod(lambda: [True])
    adjoint_options = adjoint_arg_options = staticmethod(lambda: [False])


# A single lattice or a batch of each kind; what holds for 8 directions with weights of their own holds for 4.
BATCH = shape((3, 2), 2, 2)
for known, connectivity, weights, info in [
    (Known, 4, "shared", shape((), 2, 3)),
    (Known, 8, "shared", BATCH),
    (Known, 8, "per_edge", shape((), 2, 3)),
    (Unknown, 4, "shared", BATCH),
    (Unknown, 8, "shared", shape((), 1, 1)),
    (Unknown, 8, "per_edge", BATCH),
]:
    name = f"{known.__name__}_{weights}_{connectivity}"
    infos = staticmethod(lambda info=info: [info])
    case = dict(connectivity=connectivity, weights=weights, operator_shapes_infos=infos)
    globals()[name] = type(name, (known,), case)
    theirs.add_tests(globals()[name])
del Lattices, Known, Unknown, known  # Not to be run themselves.
