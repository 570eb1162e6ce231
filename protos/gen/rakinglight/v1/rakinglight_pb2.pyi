from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Score(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCORE_UNSPECIFIED: _ClassVar[Score]
    SCORE_LOGIT: _ClassVar[Score]
    SCORE_PROBABILITY: _ClassVar[Score]
    SCORE_LOG_PROBABILITY: _ClassVar[Score]

class Norm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NORM_UNSPECIFIED: _ClassVar[Norm]
    NORM_LINF: _ClassVar[Norm]
    NORM_L2: _ClassVar[Norm]
SCORE_UNSPECIFIED: Score
SCORE_LOGIT: Score
SCORE_PROBABILITY: Score
SCORE_LOG_PROBABILITY: Score
NORM_UNSPECIFIED: Norm
NORM_LINF: Norm
NORM_L2: Norm

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("file", "tensor")
    FILE_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    file: bytes
    tensor: Tensor
    def __init__(self, file: _Optional[bytes] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class ClassReference(_message.Message):
    __slots__ = ("index", "label", "rank")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    rank: int
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., rank: _Optional[int] = ...) -> None: ...

class Include(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class ModelReference(_message.Message):
    __slots__ = ("name", "version", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    sha256: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("forward_rows", "gradient_rows")
    FORWARD_ROWS_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_ROWS_FIELD_NUMBER: _ClassVar[int]
    forward_rows: int
    gradient_rows: int
    def __init__(self, forward_rows: _Optional[int] = ..., gradient_rows: _Optional[int] = ...) -> None: ...

class AnsweredBy(_message.Message):
    __slots__ = ("forward", "gradient")
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    forward: str
    gradient: str
    def __init__(self, forward: _Optional[str] = ..., gradient: _Optional[str] = ...) -> None: ...

class Geometry(_message.Message):
    __slots__ = ("original", "resized", "crop")
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    RESIZED_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    original: _containers.RepeatedScalarFieldContainer[int]
    resized: _containers.RepeatedScalarFieldContainer[int]
    crop: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, original: _Optional[_Iterable[int]] = ..., resized: _Optional[_Iterable[int]] = ..., crop: _Optional[_Iterable[int]] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("index", "label", "probability", "logit")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    probability: float
    logit: float
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., probability: _Optional[float] = ..., logit: _Optional[float] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("image", "step", "of", "objective")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    image: int
    step: int
    of: int
    objective: float
    def __init__(self, image: _Optional[int] = ..., step: _Optional[int] = ..., of: _Optional[int] = ..., objective: _Optional[float] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: ClassifyParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[ClassifyParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ...) -> None: ...

class ClassifyParameters(_message.Message):
    __slots__ = ("top_k", "layers")
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    top_k: int
    layers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, top_k: _Optional[int] = ..., layers: _Optional[_Iterable[str]] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: ClassifyParameters
    results: _containers.RepeatedCompositeFieldContainer[ClassifyResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[ClassifyParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[ClassifyResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class ClassifyResult(_message.Message):
    __slots__ = ("prediction", "predictions", "activations", "geometry")
    class ActivationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    activations: _containers.MessageMap[str, Tensor]
    geometry: Geometry
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., activations: _Optional[_Mapping[str, Tensor]] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ...) -> None: ...

class ClassifyEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: ClassifyResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[ClassifyResponse, _Mapping]] = ...) -> None: ...

class SaliencyRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: SaliencyParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[SaliencyParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ...) -> None: ...

class SaliencyParameters(_message.Message):
    __slots__ = ("target", "score", "gradient")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    target: _containers.RepeatedCompositeFieldContainer[ClassReference]
    score: Score
    gradient: GradientParameters
    def __init__(self, target: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., score: _Optional[_Union[Score, str]] = ..., gradient: _Optional[_Union[GradientParameters, _Mapping]] = ...) -> None: ...

class GradientParameters(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SaliencyResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: SaliencyParameters
    results: _containers.RepeatedCompositeFieldContainer[SaliencyResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[SaliencyParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[SaliencyResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class SaliencyResult(_message.Message):
    __slots__ = ("prediction", "target", "map", "signed_map", "overlay", "geometry")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    SIGNED_MAP_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    target: Prediction
    map: Tensor
    signed_map: Tensor
    overlay: bytes
    geometry: Geometry
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., target: _Optional[_Union[Prediction, _Mapping]] = ..., map: _Optional[_Union[Tensor, _Mapping]] = ..., signed_map: _Optional[_Union[Tensor, _Mapping]] = ..., overlay: _Optional[bytes] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ...) -> None: ...

class SaliencyEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: SaliencyResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[SaliencyResponse, _Mapping]] = ...) -> None: ...

class AttackRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: AttackParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[AttackParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ...) -> None: ...

class AttackParameters(_message.Message):
    __slots__ = ("target", "label", "fgsm", "pgd")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FGSM_FIELD_NUMBER: _ClassVar[int]
    PGD_FIELD_NUMBER: _ClassVar[int]
    target: _containers.RepeatedCompositeFieldContainer[ClassReference]
    label: _containers.RepeatedCompositeFieldContainer[ClassReference]
    fgsm: FgsmParameters
    pgd: PgdParameters
    def __init__(self, target: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., label: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., fgsm: _Optional[_Union[FgsmParameters, _Mapping]] = ..., pgd: _Optional[_Union[PgdParameters, _Mapping]] = ...) -> None: ...

class FgsmParameters(_message.Message):
    __slots__ = ("norm", "epsilon")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ...) -> None: ...

class PgdParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "step_size", "steps", "random_start")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RANDOM_START_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    step_size: float
    steps: int
    random_start: bool
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ..., random_start: bool = ...) -> None: ...

class AttackResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: AttackParameters
    results: _containers.RepeatedCompositeFieldContainer[AttackResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[AttackParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[AttackResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class AttackResult(_message.Message):
    __slots__ = ("prediction", "before", "label", "target", "already_misclassified", "after", "success", "distance", "adversarial", "exact", "perturbation", "queries", "partial", "note", "geometry")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ALREADY_MISCLASSIFIED_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    ADVERSARIAL_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    before: Prediction
    label: Prediction
    target: Prediction
    already_misclassified: bool
    after: Prediction
    success: bool
    distance: Distance
    adversarial: bytes
    exact: ExactAttack
    perturbation: Perturbation
    queries: int
    partial: bool
    note: str
    geometry: Geometry
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., before: _Optional[_Union[Prediction, _Mapping]] = ..., label: _Optional[_Union[Prediction, _Mapping]] = ..., target: _Optional[_Union[Prediction, _Mapping]] = ..., already_misclassified: bool = ..., after: _Optional[_Union[Prediction, _Mapping]] = ..., success: bool = ..., distance: _Optional[_Union[Distance, _Mapping]] = ..., adversarial: _Optional[bytes] = ..., exact: _Optional[_Union[ExactAttack, _Mapping]] = ..., perturbation: _Optional[_Union[Perturbation, _Mapping]] = ..., queries: _Optional[int] = ..., partial: bool = ..., note: _Optional[str] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ...) -> None: ...

class ExactAttack(_message.Message):
    __slots__ = ("after", "success", "distance", "image")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    after: Prediction
    success: bool
    distance: Distance
    image: Tensor
    def __init__(self, after: _Optional[_Union[Prediction, _Mapping]] = ..., success: bool = ..., distance: _Optional[_Union[Distance, _Mapping]] = ..., image: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Distance(_message.Message):
    __slots__ = ("linf", "l2", "l0")
    LINF_FIELD_NUMBER: _ClassVar[int]
    L2_FIELD_NUMBER: _ClassVar[int]
    L0_FIELD_NUMBER: _ClassVar[int]
    linf: float
    l2: float
    l0: int
    def __init__(self, linf: _Optional[float] = ..., l2: _Optional[float] = ..., l0: _Optional[int] = ...) -> None: ...

class Perturbation(_message.Message):
    __slots__ = ("picture", "factor")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    picture: bytes
    factor: float
    def __init__(self, picture: _Optional[bytes] = ..., factor: _Optional[float] = ...) -> None: ...

class AttackEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: AttackResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[AttackResponse, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "versions", "sha256", "provenance", "input", "differentiable", "labels", "layers", "operations", "limits")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    DIFFERENTIABLE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    versions: _containers.RepeatedScalarFieldContainer[str]
    sha256: str
    provenance: str
    input: Input
    differentiable: bool
    labels: _containers.RepeatedScalarFieldContainer[str]
    layers: _containers.RepeatedCompositeFieldContainer[Layer]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    limits: Limits
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ..., sha256: _Optional[str] = ..., provenance: _Optional[str] = ..., input: _Optional[_Union[Input, _Mapping]] = ..., differentiable: bool = ..., labels: _Optional[_Iterable[str]] = ..., layers: _Optional[_Iterable[_Union[Layer, _Mapping]]] = ..., operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("shape", "range", "resize", "mean", "std")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STD_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    range: _containers.RepeatedScalarFieldContainer[float]
    resize: int
    mean: _containers.RepeatedScalarFieldContainer[float]
    std: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., range: _Optional[_Iterable[float]] = ..., resize: _Optional[int] = ..., mean: _Optional[_Iterable[float]] = ..., std: _Optional[_Iterable[float]] = ...) -> None: ...

class Layer(_message.Message):
    __slots__ = ("name", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("name", "summary", "scope", "include", "picture", "methods", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    scope: str
    include: _containers.RepeatedScalarFieldContainer[str]
    picture: str
    methods: _containers.RepeatedCompositeFieldContainer[Method]
    parameters: str
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., scope: _Optional[str] = ..., include: _Optional[_Iterable[str]] = ..., picture: _Optional[str] = ..., methods: _Optional[_Iterable[_Union[Method, _Mapping]]] = ..., parameters: _Optional[str] = ...) -> None: ...

class Method(_message.Message):
    __slots__ = ("name", "summary", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    parameters: str
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., parameters: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("body_bytes", "reply_bytes", "images", "image_pixels", "image_side", "request_pixels", "attack_pixels", "steps", "rows", "deadline_s", "deadline_limit_s")
    BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPLY_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SIDE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_PIXELS_FIELD_NUMBER: _ClassVar[int]
    ATTACK_PIXELS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_LIMIT_S_FIELD_NUMBER: _ClassVar[int]
    body_bytes: int
    reply_bytes: int
    images: int
    image_pixels: int
    image_side: int
    request_pixels: int
    attack_pixels: int
    steps: int
    rows: int
    deadline_s: float
    deadline_limit_s: float
    def __init__(self, body_bytes: _Optional[int] = ..., reply_bytes: _Optional[int] = ..., images: _Optional[int] = ..., image_pixels: _Optional[int] = ..., image_side: _Optional[int] = ..., request_pixels: _Optional[int] = ..., attack_pixels: _Optional[int] = ..., steps: _Optional[int] = ..., rows: _Optional[int] = ..., deadline_s: _Optional[float] = ..., deadline_limit_s: _Optional[float] = ...) -> None: ...
