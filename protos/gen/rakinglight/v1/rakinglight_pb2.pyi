import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
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

class Figure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIGURE_UNSPECIFIED: _ClassVar[Figure]
    FIGURE_DELETION: _ClassVar[Figure]
    FIGURE_INSERTION: _ClassVar[Figure]
    FIGURE_INFIDELITY: _ClassVar[Figure]
    FIGURE_MAX_SENSITIVITY: _ClassVar[Figure]
    FIGURE_RANDOMIZATION: _ClassVar[Figure]
    FIGURE_LOCALIZATION: _ClassVar[Figure]
    FIGURE_POINTING_GAME: _ClassVar[Figure]

class Fill(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILL_UNSPECIFIED: _ClassVar[Fill]
    FILL_GREY: _ClassVar[Fill]
    FILL_MEAN: _ClassVar[Fill]
    FILL_BLUR: _ClassVar[Fill]
    FILL_NOISE: _ClassVar[Fill]

class Norm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NORM_UNSPECIFIED: _ClassVar[Norm]
    NORM_LINF: _ClassVar[Norm]
    NORM_L2: _ClassVar[Norm]

class AttackLoss(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTACK_LOSS_UNSPECIFIED: _ClassVar[AttackLoss]
    ATTACK_LOSS_CROSS_ENTROPY: _ClassVar[AttackLoss]
    ATTACK_LOSS_DLR: _ClassVar[AttackLoss]

class Representation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPRESENTATION_UNSPECIFIED: _ClassVar[Representation]
    REPRESENTATION_NETWORK: _ClassVar[Representation]
    REPRESENTATION_HOG: _ClassVar[Representation]
    REPRESENTATION_DSIFT: _ClassVar[Representation]
    REPRESENTATION_BAG_OF_WORDS: _ClassVar[Representation]

class Prior(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIOR_UNSPECIFIED: _ClassVar[Prior]
    PRIOR_NATURAL: _ClassVar[Prior]
    PRIOR_NONE: _ClassVar[Prior]
    PRIOR_DICTIONARY: _ClassVar[Prior]
    PRIOR_DECODER: _ClassVar[Prior]

class Beginning(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BEGINNING_UNSPECIFIED: _ClassVar[Beginning]
    BEGINNING_NOISE: _ClassVar[Beginning]
    BEGINNING_ZEROS: _ClassVar[Beginning]

class Parametrization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARAMETRIZATION_UNSPECIFIED: _ClassVar[Parametrization]
    PARAMETRIZATION_PIXELS: _ClassVar[Parametrization]
    PARAMETRIZATION_FOURIER: _ClassVar[Parametrization]

class Optimizer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPTIMIZER_UNSPECIFIED: _ClassVar[Optimizer]
    OPTIMIZER_ADAM: _ClassVar[Optimizer]
    OPTIMIZER_MOMENTUM: _ClassVar[Optimizer]

class Animation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANIMATION_UNSPECIFIED: _ClassVar[Animation]
    ANIMATION_GIF: _ClassVar[Animation]
    ANIMATION_WEBP: _ClassVar[Animation]

class Terms(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TERMS_UNSPECIFIED: _ClassVar[Terms]
    TERMS_NATURAL: _ClassVar[Terms]
    TERMS_NONE: _ClassVar[Terms]

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    ENCODING_GRADIENT: _ClassVar[Encoding]
    ENCODING_DIRECT: _ClassVar[Encoding]
    ENCODING_CPPN: _ClassVar[Encoding]

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    METRIC_COSINE: _ClassVar[Metric]
    METRIC_L2: _ClassVar[Metric]

class SubstituteAnswers(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBSTITUTE_ANSWERS_UNSPECIFIED: _ClassVar[SubstituteAnswers]
    SUBSTITUTE_ANSWERS_AUTO: _ClassVar[SubstituteAnswers]
    SUBSTITUTE_ANSWERS_HARD: _ClassVar[SubstituteAnswers]
    SUBSTITUTE_ANSWERS_SOFT: _ClassVar[SubstituteAnswers]

class Architecture(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARCHITECTURE_UNSPECIFIED: _ClassVar[Architecture]
    ARCHITECTURE_CONVOLUTIONAL: _ClassVar[Architecture]
    ARCHITECTURE_AVERAGING: _ClassVar[Architecture]
    ARCHITECTURE_PERCEPTRON: _ClassVar[Architecture]
    ARCHITECTURE_LINEAR: _ClassVar[Architecture]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]
    JOB_STATE_INTERRUPTED: _ClassVar[JobState]

class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIEW_UNSPECIFIED: _ClassVar[View]
    VIEW_LABEL: _ClassVar[View]
    VIEW_TOP_K: _ClassVar[View]
    VIEW_ROUNDED: _ClassVar[View]
    VIEW_FULL: _ClassVar[View]

class KeyResponse(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_RESPONSE_UNSPECIFIED: _ClassVar[KeyResponse]
    KEY_RESPONSE_LOG: _ClassVar[KeyResponse]
    KEY_RESPONSE_ROUND: _ClassVar[KeyResponse]
    KEY_RESPONSE_SLOW: _ClassVar[KeyResponse]
    KEY_RESPONSE_REFUSE: _ClassVar[KeyResponse]
SCORE_UNSPECIFIED: Score
SCORE_LOGIT: Score
SCORE_PROBABILITY: Score
SCORE_LOG_PROBABILITY: Score
FIGURE_UNSPECIFIED: Figure
FIGURE_DELETION: Figure
FIGURE_INSERTION: Figure
FIGURE_INFIDELITY: Figure
FIGURE_MAX_SENSITIVITY: Figure
FIGURE_RANDOMIZATION: Figure
FIGURE_LOCALIZATION: Figure
FIGURE_POINTING_GAME: Figure
FILL_UNSPECIFIED: Fill
FILL_GREY: Fill
FILL_MEAN: Fill
FILL_BLUR: Fill
FILL_NOISE: Fill
NORM_UNSPECIFIED: Norm
NORM_LINF: Norm
NORM_L2: Norm
ATTACK_LOSS_UNSPECIFIED: AttackLoss
ATTACK_LOSS_CROSS_ENTROPY: AttackLoss
ATTACK_LOSS_DLR: AttackLoss
REPRESENTATION_UNSPECIFIED: Representation
REPRESENTATION_NETWORK: Representation
REPRESENTATION_HOG: Representation
REPRESENTATION_DSIFT: Representation
REPRESENTATION_BAG_OF_WORDS: Representation
PRIOR_UNSPECIFIED: Prior
PRIOR_NATURAL: Prior
PRIOR_NONE: Prior
PRIOR_DICTIONARY: Prior
PRIOR_DECODER: Prior
BEGINNING_UNSPECIFIED: Beginning
BEGINNING_NOISE: Beginning
BEGINNING_ZEROS: Beginning
PARAMETRIZATION_UNSPECIFIED: Parametrization
PARAMETRIZATION_PIXELS: Parametrization
PARAMETRIZATION_FOURIER: Parametrization
OPTIMIZER_UNSPECIFIED: Optimizer
OPTIMIZER_ADAM: Optimizer
OPTIMIZER_MOMENTUM: Optimizer
ANIMATION_UNSPECIFIED: Animation
ANIMATION_GIF: Animation
ANIMATION_WEBP: Animation
TERMS_UNSPECIFIED: Terms
TERMS_NATURAL: Terms
TERMS_NONE: Terms
ENCODING_UNSPECIFIED: Encoding
ENCODING_GRADIENT: Encoding
ENCODING_DIRECT: Encoding
ENCODING_CPPN: Encoding
METRIC_UNSPECIFIED: Metric
METRIC_COSINE: Metric
METRIC_L2: Metric
SUBSTITUTE_ANSWERS_UNSPECIFIED: SubstituteAnswers
SUBSTITUTE_ANSWERS_AUTO: SubstituteAnswers
SUBSTITUTE_ANSWERS_HARD: SubstituteAnswers
SUBSTITUTE_ANSWERS_SOFT: SubstituteAnswers
ARCHITECTURE_UNSPECIFIED: Architecture
ARCHITECTURE_CONVOLUTIONAL: Architecture
ARCHITECTURE_AVERAGING: Architecture
ARCHITECTURE_PERCEPTRON: Architecture
ARCHITECTURE_LINEAR: Architecture
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
JOB_STATE_INTERRUPTED: JobState
VIEW_UNSPECIFIED: View
VIEW_LABEL: View
VIEW_TOP_K: View
VIEW_ROUNDED: View
VIEW_FULL: View
KEY_RESPONSE_UNSPECIFIED: KeyResponse
KEY_RESPONSE_LOG: KeyResponse
KEY_RESPONSE_ROUND: KeyResponse
KEY_RESPONSE_SLOW: KeyResponse
KEY_RESPONSE_REFUSE: KeyResponse

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
    __slots__ = ("forward_rows", "gradient_rows", "saved_rows")
    FORWARD_ROWS_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_ROWS_FIELD_NUMBER: _ClassVar[int]
    SAVED_ROWS_FIELD_NUMBER: _ClassVar[int]
    forward_rows: int
    gradient_rows: int
    saved_rows: float
    def __init__(self, forward_rows: _Optional[int] = ..., gradient_rows: _Optional[int] = ..., saved_rows: _Optional[float] = ...) -> None: ...

class AnsweredBy(_message.Message):
    __slots__ = ("forward", "gradient", "patched")
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    PATCHED_FIELD_NUMBER: _ClassVar[int]
    forward: str
    gradient: str
    patched: str
    def __init__(self, forward: _Optional[str] = ..., gradient: _Optional[str] = ..., patched: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("image", "step", "of", "objective", "map", "picture")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    image: int
    step: int
    of: int
    objective: float
    map: int
    picture: bytes
    def __init__(self, image: _Optional[int] = ..., step: _Optional[int] = ..., of: _Optional[int] = ..., objective: _Optional[float] = ..., map: _Optional[int] = ..., picture: _Optional[bytes] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: ClassifyParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[ClassifyParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class ClassifyParameters(_message.Message):
    __slots__ = ("top_k", "layers", "defense", "detector")
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    DEFENSE_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    top_k: int
    layers: _containers.RepeatedScalarFieldContainer[str]
    defense: _containers.RepeatedCompositeFieldContainer[Defense]
    detector: bool
    def __init__(self, top_k: _Optional[int] = ..., layers: _Optional[_Iterable[str]] = ..., defense: _Optional[_Iterable[_Union[Defense, _Mapping]]] = ..., detector: bool = ...) -> None: ...

class Defense(_message.Message):
    __slots__ = ("jpeg", "bit_depth", "median_blur", "tv_minimization", "crop_rescale", "quilting")
    JPEG_FIELD_NUMBER: _ClassVar[int]
    BIT_DEPTH_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_BLUR_FIELD_NUMBER: _ClassVar[int]
    TV_MINIMIZATION_FIELD_NUMBER: _ClassVar[int]
    CROP_RESCALE_FIELD_NUMBER: _ClassVar[int]
    QUILTING_FIELD_NUMBER: _ClassVar[int]
    jpeg: JpegDefense
    bit_depth: BitDepthDefense
    median_blur: MedianBlurDefense
    tv_minimization: TvMinimizationDefense
    crop_rescale: CropRescaleDefense
    quilting: QuiltingDefense
    def __init__(self, jpeg: _Optional[_Union[JpegDefense, _Mapping]] = ..., bit_depth: _Optional[_Union[BitDepthDefense, _Mapping]] = ..., median_blur: _Optional[_Union[MedianBlurDefense, _Mapping]] = ..., tv_minimization: _Optional[_Union[TvMinimizationDefense, _Mapping]] = ..., crop_rescale: _Optional[_Union[CropRescaleDefense, _Mapping]] = ..., quilting: _Optional[_Union[QuiltingDefense, _Mapping]] = ...) -> None: ...

class JpegDefense(_message.Message):
    __slots__ = ("quality",)
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    quality: int
    def __init__(self, quality: _Optional[int] = ...) -> None: ...

class BitDepthDefense(_message.Message):
    __slots__ = ("bits",)
    BITS_FIELD_NUMBER: _ClassVar[int]
    bits: int
    def __init__(self, bits: _Optional[int] = ...) -> None: ...

class MedianBlurDefense(_message.Message):
    __slots__ = ("window",)
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    window: int
    def __init__(self, window: _Optional[int] = ...) -> None: ...

class TvMinimizationDefense(_message.Message):
    __slots__ = ("drop", "weight")
    DROP_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    drop: float
    weight: float
    def __init__(self, drop: _Optional[float] = ..., weight: _Optional[float] = ...) -> None: ...

class CropRescaleDefense(_message.Message):
    __slots__ = ("crops", "side")
    CROPS_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    crops: int
    side: float
    def __init__(self, crops: _Optional[int] = ..., side: _Optional[float] = ...) -> None: ...

class QuiltingDefense(_message.Message):
    __slots__ = ("neighbors",)
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    neighbors: int
    def __init__(self, neighbors: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("prediction", "predictions", "activations", "geometry", "detector")
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
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    activations: _containers.MessageMap[str, Tensor]
    geometry: Geometry
    detector: Detection
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., activations: _Optional[_Mapping[str, Tensor]] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., detector: _Optional[_Union[Detection, _Mapping]] = ...) -> None: ...

class Detection(_message.Message):
    __slots__ = ("rejected", "score", "threshold", "false_positive_rate")
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    FALSE_POSITIVE_RATE_FIELD_NUMBER: _ClassVar[int]
    rejected: bool
    score: float
    threshold: float
    false_positive_rate: float
    def __init__(self, rejected: bool = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., false_positive_rate: _Optional[float] = ...) -> None: ...

class ClassifyEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: ClassifyResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[ClassifyResponse, _Mapping]] = ...) -> None: ...

class Filling(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: Fill
    value: float
    def __init__(self, name: _Optional[_Union[Fill, str]] = ..., value: _Optional[float] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("top", "left", "bottom", "right")
    TOP_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    top: int
    left: int
    bottom: int
    right: int
    def __init__(self, top: _Optional[int] = ..., left: _Optional[int] = ..., bottom: _Optional[int] = ..., right: _Optional[int] = ...) -> None: ...

class Scaling(_message.Message):
    __slots__ = ("scale", "low", "high", "largest", "colours")
    SCALE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LARGEST_FIELD_NUMBER: _ClassVar[int]
    COLOURS_FIELD_NUMBER: _ClassVar[int]
    scale: str
    low: float
    high: float
    largest: float
    colours: str
    def __init__(self, scale: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., largest: _Optional[float] = ..., colours: _Optional[str] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("deletion", "insertion", "infidelity", "max_sensitivity", "randomization", "localization", "pointing_game")
    DELETION_FIELD_NUMBER: _ClassVar[int]
    INSERTION_FIELD_NUMBER: _ClassVar[int]
    INFIDELITY_FIELD_NUMBER: _ClassVar[int]
    MAX_SENSITIVITY_FIELD_NUMBER: _ClassVar[int]
    RANDOMIZATION_FIELD_NUMBER: _ClassVar[int]
    LOCALIZATION_FIELD_NUMBER: _ClassVar[int]
    POINTING_GAME_FIELD_NUMBER: _ClassVar[int]
    deletion: Curve
    insertion: Curve
    infidelity: Infidelity
    max_sensitivity: MaxSensitivity
    randomization: Randomization
    localization: Localization
    pointing_game: PointingGame
    def __init__(self, deletion: _Optional[_Union[Curve, _Mapping]] = ..., insertion: _Optional[_Union[Curve, _Mapping]] = ..., infidelity: _Optional[_Union[Infidelity, _Mapping]] = ..., max_sensitivity: _Optional[_Union[MaxSensitivity, _Mapping]] = ..., randomization: _Optional[_Union[Randomization, _Mapping]] = ..., localization: _Optional[_Union[Localization, _Mapping]] = ..., pointing_game: _Optional[_Union[PointingGame, _Mapping]] = ...) -> None: ...

class Curve(_message.Message):
    __slots__ = ("area", "curve", "score")
    AREA_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    area: float
    curve: Tensor
    score: str
    def __init__(self, area: _Optional[float] = ..., curve: _Optional[_Union[Tensor, _Mapping]] = ..., score: _Optional[str] = ...) -> None: ...

class Infidelity(_message.Message):
    __slots__ = ("value", "standard_error", "empty_map", "n_samples", "sd")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    EMPTY_MAP_FIELD_NUMBER: _ClassVar[int]
    N_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SD_FIELD_NUMBER: _ClassVar[int]
    value: float
    standard_error: float
    empty_map: float
    n_samples: int
    sd: float
    def __init__(self, value: _Optional[float] = ..., standard_error: _Optional[float] = ..., empty_map: _Optional[float] = ..., n_samples: _Optional[int] = ..., sd: _Optional[float] = ...) -> None: ...

class MaxSensitivity(_message.Message):
    __slots__ = ("value", "radius", "n_samples")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RADIUS_FIELD_NUMBER: _ClassVar[int]
    N_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    value: float
    radius: float
    n_samples: int
    def __init__(self, value: _Optional[float] = ..., radius: _Optional[float] = ..., n_samples: _Optional[int] = ...) -> None: ...

class Randomization(_message.Message):
    __slots__ = ("share", "rank_correlation")
    SHARE_FIELD_NUMBER: _ClassVar[int]
    RANK_CORRELATION_FIELD_NUMBER: _ClassVar[int]
    share: _containers.RepeatedScalarFieldContainer[float]
    rank_correlation: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, share: _Optional[_Iterable[float]] = ..., rank_correlation: _Optional[_Iterable[float]] = ...) -> None: ...

class Localization(_message.Message):
    __slots__ = ("value", "area")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    value: float
    area: float
    def __init__(self, value: _Optional[float] = ..., area: _Optional[float] = ...) -> None: ...

class PointingGame(_message.Message):
    __slots__ = ("hit", "tolerance", "row", "column")
    HIT_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    hit: bool
    tolerance: float
    row: int
    column: int
    def __init__(self, hit: bool = ..., tolerance: _Optional[float] = ..., row: _Optional[int] = ..., column: _Optional[int] = ...) -> None: ...

class SaliencyRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "compare", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: SaliencyParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    compare: _containers.RepeatedCompositeFieldContainer[SaliencyParameters]
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[SaliencyParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., compare: _Optional[_Iterable[_Union[SaliencyParameters, _Mapping]]] = ..., dataset: _Optional[str] = ...) -> None: ...

class SaliencyParameters(_message.Message):
    __slots__ = ("target", "score", "evaluate", "boxes", "gradient", "gradient_x_input", "smoothgrad", "vargrad", "integrated_gradients", "guided_backprop", "deconvnet", "grad_cam", "second_order")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_X_INPUT_FIELD_NUMBER: _ClassVar[int]
    SMOOTHGRAD_FIELD_NUMBER: _ClassVar[int]
    VARGRAD_FIELD_NUMBER: _ClassVar[int]
    INTEGRATED_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    GUIDED_BACKPROP_FIELD_NUMBER: _ClassVar[int]
    DECONVNET_FIELD_NUMBER: _ClassVar[int]
    GRAD_CAM_FIELD_NUMBER: _ClassVar[int]
    SECOND_ORDER_FIELD_NUMBER: _ClassVar[int]
    target: _containers.RepeatedCompositeFieldContainer[ClassReference]
    score: Score
    evaluate: _containers.RepeatedScalarFieldContainer[Figure]
    boxes: _containers.RepeatedCompositeFieldContainer[Box]
    gradient: GradientParameters
    gradient_x_input: GradientXInputParameters
    smoothgrad: SmoothgradParameters
    vargrad: VargradParameters
    integrated_gradients: IntegratedGradientsParameters
    guided_backprop: GuidedBackpropParameters
    deconvnet: DeconvnetParameters
    grad_cam: GradCamParameters
    second_order: SecondOrderParameters
    def __init__(self, target: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., score: _Optional[_Union[Score, str]] = ..., evaluate: _Optional[_Iterable[_Union[Figure, str]]] = ..., boxes: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., gradient: _Optional[_Union[GradientParameters, _Mapping]] = ..., gradient_x_input: _Optional[_Union[GradientXInputParameters, _Mapping]] = ..., smoothgrad: _Optional[_Union[SmoothgradParameters, _Mapping]] = ..., vargrad: _Optional[_Union[VargradParameters, _Mapping]] = ..., integrated_gradients: _Optional[_Union[IntegratedGradientsParameters, _Mapping]] = ..., guided_backprop: _Optional[_Union[GuidedBackpropParameters, _Mapping]] = ..., deconvnet: _Optional[_Union[DeconvnetParameters, _Mapping]] = ..., grad_cam: _Optional[_Union[GradCamParameters, _Mapping]] = ..., second_order: _Optional[_Union[SecondOrderParameters, _Mapping]] = ...) -> None: ...

class GradientParameters(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GradientXInputParameters(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SmoothgradParameters(_message.Message):
    __slots__ = ("n_samples", "noise_level")
    N_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NOISE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    n_samples: int
    noise_level: float
    def __init__(self, n_samples: _Optional[int] = ..., noise_level: _Optional[float] = ...) -> None: ...

class VargradParameters(_message.Message):
    __slots__ = ("n_samples", "noise_level")
    N_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NOISE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    n_samples: int
    noise_level: float
    def __init__(self, n_samples: _Optional[int] = ..., noise_level: _Optional[float] = ...) -> None: ...

class IntegratedGradientsParameters(_message.Message):
    __slots__ = ("n_steps", "baseline")
    N_STEPS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    n_steps: int
    baseline: Filling
    def __init__(self, n_steps: _Optional[int] = ..., baseline: _Optional[_Union[Filling, _Mapping]] = ...) -> None: ...

class GuidedBackpropParameters(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeconvnetParameters(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GradCamParameters(_message.Message):
    __slots__ = ("layer",)
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: str
    def __init__(self, layer: _Optional[str] = ...) -> None: ...

class SecondOrderParameters(_message.Message):
    __slots__ = ("n_samples", "sigma", "baseline")
    N_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    n_samples: int
    sigma: float
    baseline: Filling
    def __init__(self, n_samples: _Optional[int] = ..., sigma: _Optional[float] = ..., baseline: _Optional[_Union[Filling, _Mapping]] = ...) -> None: ...

class SaliencyResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed", "compare")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: SaliencyParameters
    results: _containers.RepeatedCompositeFieldContainer[SaliencyResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    compare: _containers.RepeatedCompositeFieldContainer[SaliencyParameters]
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[SaliencyParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[SaliencyResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ..., compare: _Optional[_Iterable[_Union[SaliencyParameters, _Mapping]]] = ...) -> None: ...

class SaliencyResult(_message.Message):
    __slots__ = ("prediction", "target", "map", "signed_map", "overlay", "geometry", "cells", "layer", "score_difference", "completeness_gap", "sigma", "n_samples", "standard_error", "curves", "evaluation", "scaling", "partial", "maps", "first_order", "second_order", "note")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    SIGNED_MAP_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    SCORE_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_GAP_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    N_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    SCALING_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    FIRST_ORDER_FIELD_NUMBER: _ClassVar[int]
    SECOND_ORDER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    target: Prediction
    map: Tensor
    signed_map: Tensor
    overlay: bytes
    geometry: Geometry
    cells: Tensor
    layer: str
    score_difference: float
    completeness_gap: float
    sigma: float
    n_samples: int
    standard_error: float
    curves: bytes
    evaluation: Evaluation
    scaling: Scaling
    partial: bool
    maps: _containers.RepeatedCompositeFieldContainer[SaliencyMap]
    first_order: float
    second_order: float
    note: str
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., target: _Optional[_Union[Prediction, _Mapping]] = ..., map: _Optional[_Union[Tensor, _Mapping]] = ..., signed_map: _Optional[_Union[Tensor, _Mapping]] = ..., overlay: _Optional[bytes] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., cells: _Optional[_Union[Tensor, _Mapping]] = ..., layer: _Optional[str] = ..., score_difference: _Optional[float] = ..., completeness_gap: _Optional[float] = ..., sigma: _Optional[float] = ..., n_samples: _Optional[int] = ..., standard_error: _Optional[float] = ..., curves: _Optional[bytes] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., scaling: _Optional[_Union[Scaling, _Mapping]] = ..., partial: bool = ..., maps: _Optional[_Iterable[_Union[SaliencyMap, _Mapping]]] = ..., first_order: _Optional[float] = ..., second_order: _Optional[float] = ..., note: _Optional[str] = ...) -> None: ...

class SaliencyMap(_message.Message):
    __slots__ = ("parameters", "target", "map", "signed_map", "cells", "layer", "score_difference", "completeness_gap", "sigma", "n_samples", "standard_error", "curves", "evaluation", "scaling", "partial", "first_order", "second_order", "note")
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    SIGNED_MAP_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    SCORE_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_GAP_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    N_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    SCALING_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    FIRST_ORDER_FIELD_NUMBER: _ClassVar[int]
    SECOND_ORDER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    parameters: SaliencyParameters
    target: Prediction
    map: Tensor
    signed_map: Tensor
    cells: Tensor
    layer: str
    score_difference: float
    completeness_gap: float
    sigma: float
    n_samples: int
    standard_error: float
    curves: bytes
    evaluation: Evaluation
    scaling: Scaling
    partial: bool
    first_order: float
    second_order: float
    note: str
    def __init__(self, parameters: _Optional[_Union[SaliencyParameters, _Mapping]] = ..., target: _Optional[_Union[Prediction, _Mapping]] = ..., map: _Optional[_Union[Tensor, _Mapping]] = ..., signed_map: _Optional[_Union[Tensor, _Mapping]] = ..., cells: _Optional[_Union[Tensor, _Mapping]] = ..., layer: _Optional[str] = ..., score_difference: _Optional[float] = ..., completeness_gap: _Optional[float] = ..., sigma: _Optional[float] = ..., n_samples: _Optional[int] = ..., standard_error: _Optional[float] = ..., curves: _Optional[bytes] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., scaling: _Optional[_Union[Scaling, _Mapping]] = ..., partial: bool = ..., first_order: _Optional[float] = ..., second_order: _Optional[float] = ..., note: _Optional[str] = ...) -> None: ...

class SaliencyEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: SaliencyResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[SaliencyResponse, _Mapping]] = ...) -> None: ...

class OcclusionRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "compare", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: OcclusionParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    compare: _containers.RepeatedCompositeFieldContainer[OcclusionParameters]
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[OcclusionParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., compare: _Optional[_Iterable[_Union[OcclusionParameters, _Mapping]]] = ..., dataset: _Optional[str] = ...) -> None: ...

class OcclusionParameters(_message.Message):
    __slots__ = ("target", "score", "evaluate", "boxes", "sliding", "rise")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    SLIDING_FIELD_NUMBER: _ClassVar[int]
    RISE_FIELD_NUMBER: _ClassVar[int]
    target: _containers.RepeatedCompositeFieldContainer[ClassReference]
    score: Score
    evaluate: _containers.RepeatedScalarFieldContainer[Figure]
    boxes: _containers.RepeatedCompositeFieldContainer[Box]
    sliding: SlidingParameters
    rise: RiseParameters
    def __init__(self, target: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., score: _Optional[_Union[Score, str]] = ..., evaluate: _Optional[_Iterable[_Union[Figure, str]]] = ..., boxes: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., sliding: _Optional[_Union[SlidingParameters, _Mapping]] = ..., rise: _Optional[_Union[RiseParameters, _Mapping]] = ...) -> None: ...

class SlidingParameters(_message.Message):
    __slots__ = ("window", "stride", "fill", "per_channel")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    FILL_FIELD_NUMBER: _ClassVar[int]
    PER_CHANNEL_FIELD_NUMBER: _ClassVar[int]
    window: int
    stride: int
    fill: Filling
    per_channel: bool
    def __init__(self, window: _Optional[int] = ..., stride: _Optional[int] = ..., fill: _Optional[_Union[Filling, _Mapping]] = ..., per_channel: bool = ...) -> None: ...

class RiseParameters(_message.Message):
    __slots__ = ("masks", "cells", "keep_probability", "fill", "standard_error")
    MASKS_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    KEEP_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FILL_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    masks: int
    cells: int
    keep_probability: float
    fill: Filling
    standard_error: float
    def __init__(self, masks: _Optional[int] = ..., cells: _Optional[int] = ..., keep_probability: _Optional[float] = ..., fill: _Optional[_Union[Filling, _Mapping]] = ..., standard_error: _Optional[float] = ...) -> None: ...

class OcclusionResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed", "compare")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: OcclusionParameters
    results: _containers.RepeatedCompositeFieldContainer[OcclusionResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    compare: _containers.RepeatedCompositeFieldContainer[OcclusionParameters]
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[OcclusionParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[OcclusionResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ..., compare: _Optional[_Iterable[_Union[OcclusionParameters, _Mapping]]] = ...) -> None: ...

class OcclusionResult(_message.Message):
    __slots__ = ("prediction", "target", "map", "signed_map", "overlay", "geometry", "grid", "window", "stride", "score_whole", "masks_used", "standard_error", "curves", "evaluation", "scaling", "partial", "maps", "note")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    SIGNED_MAP_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    SCORE_WHOLE_FIELD_NUMBER: _ClassVar[int]
    MASKS_USED_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    SCALING_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    target: Prediction
    map: Tensor
    signed_map: Tensor
    overlay: bytes
    geometry: Geometry
    grid: Tensor
    window: int
    stride: int
    score_whole: float
    masks_used: int
    standard_error: float
    curves: bytes
    evaluation: Evaluation
    scaling: Scaling
    partial: bool
    maps: _containers.RepeatedCompositeFieldContainer[OcclusionMap]
    note: str
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., target: _Optional[_Union[Prediction, _Mapping]] = ..., map: _Optional[_Union[Tensor, _Mapping]] = ..., signed_map: _Optional[_Union[Tensor, _Mapping]] = ..., overlay: _Optional[bytes] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., grid: _Optional[_Union[Tensor, _Mapping]] = ..., window: _Optional[int] = ..., stride: _Optional[int] = ..., score_whole: _Optional[float] = ..., masks_used: _Optional[int] = ..., standard_error: _Optional[float] = ..., curves: _Optional[bytes] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., scaling: _Optional[_Union[Scaling, _Mapping]] = ..., partial: bool = ..., maps: _Optional[_Iterable[_Union[OcclusionMap, _Mapping]]] = ..., note: _Optional[str] = ...) -> None: ...

class OcclusionMap(_message.Message):
    __slots__ = ("parameters", "target", "map", "signed_map", "grid", "window", "stride", "score_whole", "masks_used", "standard_error", "curves", "evaluation", "scaling", "partial", "note")
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    SIGNED_MAP_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    SCORE_WHOLE_FIELD_NUMBER: _ClassVar[int]
    MASKS_USED_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    SCALING_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    parameters: OcclusionParameters
    target: Prediction
    map: Tensor
    signed_map: Tensor
    grid: Tensor
    window: int
    stride: int
    score_whole: float
    masks_used: int
    standard_error: float
    curves: bytes
    evaluation: Evaluation
    scaling: Scaling
    partial: bool
    note: str
    def __init__(self, parameters: _Optional[_Union[OcclusionParameters, _Mapping]] = ..., target: _Optional[_Union[Prediction, _Mapping]] = ..., map: _Optional[_Union[Tensor, _Mapping]] = ..., signed_map: _Optional[_Union[Tensor, _Mapping]] = ..., grid: _Optional[_Union[Tensor, _Mapping]] = ..., window: _Optional[int] = ..., stride: _Optional[int] = ..., score_whole: _Optional[float] = ..., masks_used: _Optional[int] = ..., standard_error: _Optional[float] = ..., curves: _Optional[bytes] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., scaling: _Optional[_Union[Scaling, _Mapping]] = ..., partial: bool = ..., note: _Optional[str] = ...) -> None: ...

class OcclusionEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: OcclusionResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[OcclusionResponse, _Mapping]] = ...) -> None: ...

class AttackRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: AttackParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[AttackParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class AttackParameters(_message.Message):
    __slots__ = ("target", "label", "early_stop", "defense", "adaptive", "draws", "detector", "fgsm", "pgd", "universal", "linear", "gradient_step", "least_likely", "most_likely", "deepfool", "lbfgs", "apgd", "square", "auto", "transfer", "nes", "hop_skip_jump", "boundary")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOP_FIELD_NUMBER: _ClassVar[int]
    DEFENSE_FIELD_NUMBER: _ClassVar[int]
    ADAPTIVE_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    FGSM_FIELD_NUMBER: _ClassVar[int]
    PGD_FIELD_NUMBER: _ClassVar[int]
    UNIVERSAL_FIELD_NUMBER: _ClassVar[int]
    LINEAR_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_STEP_FIELD_NUMBER: _ClassVar[int]
    LEAST_LIKELY_FIELD_NUMBER: _ClassVar[int]
    MOST_LIKELY_FIELD_NUMBER: _ClassVar[int]
    DEEPFOOL_FIELD_NUMBER: _ClassVar[int]
    LBFGS_FIELD_NUMBER: _ClassVar[int]
    APGD_FIELD_NUMBER: _ClassVar[int]
    SQUARE_FIELD_NUMBER: _ClassVar[int]
    AUTO_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    NES_FIELD_NUMBER: _ClassVar[int]
    HOP_SKIP_JUMP_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    target: _containers.RepeatedCompositeFieldContainer[ClassReference]
    label: _containers.RepeatedCompositeFieldContainer[ClassReference]
    early_stop: bool
    defense: _containers.RepeatedCompositeFieldContainer[Defense]
    adaptive: bool
    draws: int
    detector: bool
    fgsm: FgsmParameters
    pgd: PgdParameters
    universal: AttackUniversalParameters
    linear: LinearParameters
    gradient_step: GradientStepParameters
    least_likely: LeastLikelyParameters
    most_likely: MostLikelyParameters
    deepfool: DeepfoolParameters
    lbfgs: LbfgsParameters
    apgd: ApgdParameters
    square: SquareParameters
    auto: AutoParameters
    transfer: TransferParameters
    nes: NesParameters
    hop_skip_jump: HopSkipJumpParameters
    boundary: BoundaryParameters
    def __init__(self, target: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., label: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., early_stop: bool = ..., defense: _Optional[_Iterable[_Union[Defense, _Mapping]]] = ..., adaptive: bool = ..., draws: _Optional[int] = ..., detector: bool = ..., fgsm: _Optional[_Union[FgsmParameters, _Mapping]] = ..., pgd: _Optional[_Union[PgdParameters, _Mapping]] = ..., universal: _Optional[_Union[AttackUniversalParameters, _Mapping]] = ..., linear: _Optional[_Union[LinearParameters, _Mapping]] = ..., gradient_step: _Optional[_Union[GradientStepParameters, _Mapping]] = ..., least_likely: _Optional[_Union[LeastLikelyParameters, _Mapping]] = ..., most_likely: _Optional[_Union[MostLikelyParameters, _Mapping]] = ..., deepfool: _Optional[_Union[DeepfoolParameters, _Mapping]] = ..., lbfgs: _Optional[_Union[LbfgsParameters, _Mapping]] = ..., apgd: _Optional[_Union[ApgdParameters, _Mapping]] = ..., square: _Optional[_Union[SquareParameters, _Mapping]] = ..., auto: _Optional[_Union[AutoParameters, _Mapping]] = ..., transfer: _Optional[_Union[TransferParameters, _Mapping]] = ..., nes: _Optional[_Union[NesParameters, _Mapping]] = ..., hop_skip_jump: _Optional[_Union[HopSkipJumpParameters, _Mapping]] = ..., boundary: _Optional[_Union[BoundaryParameters, _Mapping]] = ...) -> None: ...

class FgsmParameters(_message.Message):
    __slots__ = ("norm", "epsilon")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ...) -> None: ...

class PgdParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "step_size", "steps", "random_start", "restarts")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RANDOM_START_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    step_size: float
    steps: int
    random_start: bool
    restarts: int
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ..., random_start: bool = ..., restarts: _Optional[int] = ...) -> None: ...

class LinearParameters(_message.Message):
    __slots__ = ("norm", "candidates", "overshoot")
    NORM_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    OVERSHOOT_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    candidates: int
    overshoot: float
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., candidates: _Optional[int] = ..., overshoot: _Optional[float] = ...) -> None: ...

class GradientStepParameters(_message.Message):
    __slots__ = ("norm", "epsilon")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ...) -> None: ...

class LeastLikelyParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "step_size", "steps")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    step_size: float
    steps: int
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class MostLikelyParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "step_size", "steps")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    step_size: float
    steps: int
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class DeepfoolParameters(_message.Message):
    __slots__ = ("norm", "candidates", "overshoot", "steps")
    NORM_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    OVERSHOOT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    candidates: int
    overshoot: float
    steps: int
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., candidates: _Optional[int] = ..., overshoot: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class LbfgsParameters(_message.Message):
    __slots__ = ("norm", "steps", "binary_search_steps")
    NORM_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BINARY_SEARCH_STEPS_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    steps: int
    binary_search_steps: int
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., steps: _Optional[int] = ..., binary_search_steps: _Optional[int] = ...) -> None: ...

class AttackUniversalParameters(_message.Message):
    __slots__ = ("perturbation", "norm", "epsilon")
    PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    perturbation: PerturbationReference
    norm: Norm
    epsilon: float
    def __init__(self, perturbation: _Optional[_Union[PerturbationReference, _Mapping]] = ..., norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ...) -> None: ...

class PerturbationReference(_message.Message):
    __slots__ = ("id", "tensor")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    tensor: Tensor
    def __init__(self, id: _Optional[str] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class TransferParameters(_message.Message):
    __slots__ = ("models", "norm", "epsilon", "step_size", "steps", "momentum")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedScalarFieldContainer[str]
    norm: Norm
    epsilon: float
    step_size: float
    steps: int
    momentum: float
    def __init__(self, models: _Optional[_Iterable[str]] = ..., norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ..., momentum: _Optional[float] = ...) -> None: ...

class ApgdParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "loss", "steps", "restarts", "random_start")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    RANDOM_START_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    loss: AttackLoss
    steps: int
    restarts: int
    random_start: bool
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., loss: _Optional[_Union[AttackLoss, str]] = ..., steps: _Optional[int] = ..., restarts: _Optional[int] = ..., random_start: bool = ...) -> None: ...

class SquareParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "queries", "p_init")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    P_INIT_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    queries: int
    p_init: float
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., queries: _Optional[int] = ..., p_init: _Optional[float] = ...) -> None: ...

class NesParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "queries", "n_samples", "sigma", "step_size", "momentum")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    N_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    queries: int
    n_samples: int
    sigma: float
    step_size: float
    momentum: float
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., queries: _Optional[int] = ..., n_samples: _Optional[int] = ..., sigma: _Optional[float] = ..., step_size: _Optional[float] = ..., momentum: _Optional[float] = ...) -> None: ...

class HopSkipJumpParameters(_message.Message):
    __slots__ = ("norm", "queries", "initial_rows", "gamma", "start")
    NORM_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    INITIAL_ROWS_FIELD_NUMBER: _ClassVar[int]
    GAMMA_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    queries: int
    initial_rows: int
    gamma: float
    start: Image
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., queries: _Optional[int] = ..., initial_rows: _Optional[int] = ..., gamma: _Optional[float] = ..., start: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class BoundaryParameters(_message.Message):
    __slots__ = ("norm", "queries", "orthogonal_step", "source_step", "start")
    NORM_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    ORTHOGONAL_STEP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_STEP_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    queries: int
    orthogonal_step: float
    source_step: float
    start: Image
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., queries: _Optional[int] = ..., orthogonal_step: _Optional[float] = ..., source_step: _Optional[float] = ..., start: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class AutoParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "steps", "target_classes", "queries")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TARGET_CLASSES_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    steps: int
    target_classes: int
    queries: int
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., steps: _Optional[int] = ..., target_classes: _Optional[int] = ..., queries: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("prediction", "before", "label", "target", "already_misclassified", "after", "success", "distance", "adversarial", "exact", "perturbation", "queries", "partial", "note", "geometry", "broken_by", "success_rate", "rejected", "trace", "search_queries", "proof_queries")
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
    BROKEN_BY_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    SEARCH_QUERIES_FIELD_NUMBER: _ClassVar[int]
    PROOF_QUERIES_FIELD_NUMBER: _ClassVar[int]
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
    broken_by: str
    success_rate: float
    rejected: bool
    trace: Trace
    search_queries: int
    proof_queries: int
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., before: _Optional[_Union[Prediction, _Mapping]] = ..., label: _Optional[_Union[Prediction, _Mapping]] = ..., target: _Optional[_Union[Prediction, _Mapping]] = ..., already_misclassified: bool = ..., after: _Optional[_Union[Prediction, _Mapping]] = ..., success: bool = ..., distance: _Optional[_Union[Distance, _Mapping]] = ..., adversarial: _Optional[bytes] = ..., exact: _Optional[_Union[ExactAttack, _Mapping]] = ..., perturbation: _Optional[_Union[Perturbation, _Mapping]] = ..., queries: _Optional[int] = ..., partial: bool = ..., note: _Optional[str] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., broken_by: _Optional[str] = ..., success_rate: _Optional[float] = ..., rejected: bool = ..., trace: _Optional[_Union[Trace, _Mapping]] = ..., search_queries: _Optional[int] = ..., proof_queries: _Optional[int] = ...) -> None: ...

class Trace(_message.Message):
    __slots__ = ("queries", "distance")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedScalarFieldContainer[int]
    distance: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, queries: _Optional[_Iterable[int]] = ..., distance: _Optional[_Iterable[float]] = ...) -> None: ...

class ExactAttack(_message.Message):
    __slots__ = ("after", "success", "distance", "image", "success_rate", "rejected")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    after: Prediction
    success: bool
    distance: Distance
    image: Tensor
    success_rate: float
    rejected: bool
    def __init__(self, after: _Optional[_Union[Prediction, _Mapping]] = ..., success: bool = ..., distance: _Optional[_Union[Distance, _Mapping]] = ..., image: _Optional[_Union[Tensor, _Mapping]] = ..., success_rate: _Optional[float] = ..., rejected: bool = ...) -> None: ...

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

class InversionRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: InversionParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[InversionParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class InversionParameters(_message.Message):
    __slots__ = ("invert", "caricature", "edit", "deep_dream", "style", "activation_maximization", "fooling")
    INVERT_FIELD_NUMBER: _ClassVar[int]
    CARICATURE_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    DEEP_DREAM_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_MAXIMIZATION_FIELD_NUMBER: _ClassVar[int]
    FOOLING_FIELD_NUMBER: _ClassVar[int]
    invert: InvertParameters
    caricature: CaricatureParameters
    edit: EditParameters
    deep_dream: DeepDreamParameters
    style: StyleParameters
    activation_maximization: ActivationMaximizationParameters
    fooling: FoolingParameters
    def __init__(self, invert: _Optional[_Union[InvertParameters, _Mapping]] = ..., caricature: _Optional[_Union[CaricatureParameters, _Mapping]] = ..., edit: _Optional[_Union[EditParameters, _Mapping]] = ..., deep_dream: _Optional[_Union[DeepDreamParameters, _Mapping]] = ..., style: _Optional[_Union[StyleParameters, _Mapping]] = ..., activation_maximization: _Optional[_Union[ActivationMaximizationParameters, _Mapping]] = ..., fooling: _Optional[_Union[FoolingParameters, _Mapping]] = ...) -> None: ...

class InvertParameters(_message.Message):
    __slots__ = ("layer", "representation", "code_of", "prior", "beginning", "start", "repeats", "fidelity", "alpha", "alpha_weight", "beta", "tv_weight", "jitter", "parametrization", "optimizer", "step_size", "steps")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    REPRESENTATION_FIELD_NUMBER: _ClassVar[int]
    CODE_OF_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    BEGINNING_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    ALPHA_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    TV_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    PARAMETRIZATION_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    layer: str
    representation: Representation
    code_of: Image
    prior: Prior
    beginning: Beginning
    start: Image
    repeats: int
    fidelity: float
    alpha: float
    alpha_weight: float
    beta: float
    tv_weight: float
    jitter: int
    parametrization: Parametrization
    optimizer: Optimizer
    step_size: float
    steps: int
    def __init__(self, layer: _Optional[str] = ..., representation: _Optional[_Union[Representation, str]] = ..., code_of: _Optional[_Union[Image, _Mapping]] = ..., prior: _Optional[_Union[Prior, str]] = ..., beginning: _Optional[_Union[Beginning, str]] = ..., start: _Optional[_Union[Image, _Mapping]] = ..., repeats: _Optional[int] = ..., fidelity: _Optional[float] = ..., alpha: _Optional[float] = ..., alpha_weight: _Optional[float] = ..., beta: _Optional[float] = ..., tv_weight: _Optional[float] = ..., jitter: _Optional[int] = ..., parametrization: _Optional[_Union[Parametrization, str]] = ..., optimizer: _Optional[_Union[Optimizer, str]] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class CaricatureParameters(_message.Message):
    __slots__ = ("layer", "representation", "fidelity", "alpha", "alpha_weight", "beta", "tv_weight", "jitter", "parametrization", "optimizer", "step_size", "steps")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    REPRESENTATION_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    ALPHA_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    TV_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    PARAMETRIZATION_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    layer: str
    representation: Representation
    fidelity: float
    alpha: float
    alpha_weight: float
    beta: float
    tv_weight: float
    jitter: int
    parametrization: Parametrization
    optimizer: Optimizer
    step_size: float
    steps: int
    def __init__(self, layer: _Optional[str] = ..., representation: _Optional[_Union[Representation, str]] = ..., fidelity: _Optional[float] = ..., alpha: _Optional[float] = ..., alpha_weight: _Optional[float] = ..., beta: _Optional[float] = ..., tv_weight: _Optional[float] = ..., jitter: _Optional[int] = ..., parametrization: _Optional[_Union[Parametrization, str]] = ..., optimizer: _Optional[_Union[Optimizer, str]] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class EditParameters(_message.Message):
    __slots__ = ("target", "score", "fidelity", "near_weight", "beta", "tv_weight", "jitter", "parametrization", "optimizer", "step_size", "steps")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_FIELD_NUMBER: _ClassVar[int]
    NEAR_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    TV_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    PARAMETRIZATION_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    target: _containers.RepeatedCompositeFieldContainer[ClassReference]
    score: Score
    fidelity: float
    near_weight: float
    beta: float
    tv_weight: float
    jitter: int
    parametrization: Parametrization
    optimizer: Optimizer
    step_size: float
    steps: int
    def __init__(self, target: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., score: _Optional[_Union[Score, str]] = ..., fidelity: _Optional[float] = ..., near_weight: _Optional[float] = ..., beta: _Optional[float] = ..., tv_weight: _Optional[float] = ..., jitter: _Optional[int] = ..., parametrization: _Optional[_Union[Parametrization, str]] = ..., optimizer: _Optional[_Union[Optimizer, str]] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class DeepDreamParameters(_message.Message):
    __slots__ = ("layer", "octaves", "octave_scale", "steps", "step_size", "jitter", "frames", "zoom", "animation")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    OCTAVES_FIELD_NUMBER: _ClassVar[int]
    OCTAVE_SCALE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    ZOOM_FIELD_NUMBER: _ClassVar[int]
    ANIMATION_FIELD_NUMBER: _ClassVar[int]
    layer: str
    octaves: int
    octave_scale: float
    steps: int
    step_size: float
    jitter: int
    frames: int
    zoom: float
    animation: Animation
    def __init__(self, layer: _Optional[str] = ..., octaves: _Optional[int] = ..., octave_scale: _Optional[float] = ..., steps: _Optional[int] = ..., step_size: _Optional[float] = ..., jitter: _Optional[int] = ..., frames: _Optional[int] = ..., zoom: _Optional[float] = ..., animation: _Optional[_Union[Animation, str]] = ...) -> None: ...

class StyleParameters(_message.Message):
    __slots__ = ("style", "content_layer", "style_layers", "content_weight", "style_weight", "beta", "tv_weight", "jitter", "parametrization", "optimizer", "step_size", "steps")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_LAYER_FIELD_NUMBER: _ClassVar[int]
    STYLE_LAYERS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    STYLE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    TV_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    PARAMETRIZATION_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    style: Image
    content_layer: str
    style_layers: _containers.RepeatedScalarFieldContainer[str]
    content_weight: float
    style_weight: float
    beta: float
    tv_weight: float
    jitter: int
    parametrization: Parametrization
    optimizer: Optimizer
    step_size: float
    steps: int
    def __init__(self, style: _Optional[_Union[Image, _Mapping]] = ..., content_layer: _Optional[str] = ..., style_layers: _Optional[_Iterable[str]] = ..., content_weight: _Optional[float] = ..., style_weight: _Optional[float] = ..., beta: _Optional[float] = ..., tv_weight: _Optional[float] = ..., jitter: _Optional[int] = ..., parametrization: _Optional[_Union[Parametrization, str]] = ..., optimizer: _Optional[_Union[Optimizer, str]] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class ActivationMaximizationParameters(_message.Message):
    __slots__ = ("target", "score", "layer", "unit", "terms", "starts", "fidelity", "near_weight", "alpha", "alpha_weight", "beta", "tv_weight", "blur_sigma", "blur_every", "clip_norm", "clip_contribution", "jitter", "parametrization", "optimizer", "step_size", "steps", "compare_softmax", "real_images", "models")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_FIELD_NUMBER: _ClassVar[int]
    NEAR_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    ALPHA_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    TV_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BLUR_SIGMA_FIELD_NUMBER: _ClassVar[int]
    BLUR_EVERY_FIELD_NUMBER: _ClassVar[int]
    CLIP_NORM_FIELD_NUMBER: _ClassVar[int]
    CLIP_CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    PARAMETRIZATION_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    COMPARE_SOFTMAX_FIELD_NUMBER: _ClassVar[int]
    REAL_IMAGES_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    target: ClassReference
    score: Score
    layer: str
    unit: int
    terms: Terms
    starts: int
    fidelity: float
    near_weight: float
    alpha: float
    alpha_weight: float
    beta: float
    tv_weight: float
    blur_sigma: float
    blur_every: int
    clip_norm: float
    clip_contribution: float
    jitter: int
    parametrization: Parametrization
    optimizer: Optimizer
    step_size: float
    steps: int
    compare_softmax: bool
    real_images: _containers.RepeatedCompositeFieldContainer[Image]
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, target: _Optional[_Union[ClassReference, _Mapping]] = ..., score: _Optional[_Union[Score, str]] = ..., layer: _Optional[str] = ..., unit: _Optional[int] = ..., terms: _Optional[_Union[Terms, str]] = ..., starts: _Optional[int] = ..., fidelity: _Optional[float] = ..., near_weight: _Optional[float] = ..., alpha: _Optional[float] = ..., alpha_weight: _Optional[float] = ..., beta: _Optional[float] = ..., tv_weight: _Optional[float] = ..., blur_sigma: _Optional[float] = ..., blur_every: _Optional[int] = ..., clip_norm: _Optional[float] = ..., clip_contribution: _Optional[float] = ..., jitter: _Optional[int] = ..., parametrization: _Optional[_Union[Parametrization, str]] = ..., optimizer: _Optional[_Union[Optimizer, str]] = ..., step_size: _Optional[float] = ..., steps: _Optional[int] = ..., compare_softmax: bool = ..., real_images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., models: _Optional[_Iterable[str]] = ...) -> None: ...

class FoolingParameters(_message.Message):
    __slots__ = ("target", "encoding", "confidence", "queries", "step_size", "population", "mutation_rate", "noise_images")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    POPULATION_FIELD_NUMBER: _ClassVar[int]
    MUTATION_RATE_FIELD_NUMBER: _ClassVar[int]
    NOISE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    target: ClassReference
    encoding: Encoding
    confidence: float
    queries: int
    step_size: float
    population: int
    mutation_rate: float
    noise_images: int
    def __init__(self, target: _Optional[_Union[ClassReference, _Mapping]] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., confidence: _Optional[float] = ..., queries: _Optional[int] = ..., step_size: _Optional[float] = ..., population: _Optional[int] = ..., mutation_rate: _Optional[float] = ..., noise_images: _Optional[int] = ...) -> None: ...

class InversionResponse(_message.Message):
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
    parameters: InversionParameters
    results: _containers.RepeatedCompositeFieldContainer[InversionResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[InversionParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[InversionResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class InversionResult(_message.Message):
    __slots__ = ("prediction", "picture", "image", "objective", "reached", "feature_error", "pixel_error", "others", "animation", "partial", "note", "geometry", "target", "confidence", "fooled", "evaluations", "generations", "noise", "score", "softmax", "real_images", "ranks")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    REACHED_FIELD_NUMBER: _ClassVar[int]
    FEATURE_ERROR_FIELD_NUMBER: _ClassVar[int]
    PIXEL_ERROR_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    ANIMATION_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    FOOLED_FIELD_NUMBER: _ClassVar[int]
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOFTMAX_FIELD_NUMBER: _ClassVar[int]
    REAL_IMAGES_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    picture: bytes
    image: Tensor
    objective: Tensor
    reached: Prediction
    feature_error: float
    pixel_error: float
    others: _containers.RepeatedCompositeFieldContainer[OtherPicture]
    animation: bytes
    partial: bool
    note: str
    geometry: Geometry
    target: Prediction
    confidence: float
    fooled: bool
    evaluations: int
    generations: int
    noise: BestOfNoise
    score: float
    softmax: BothClimbed
    real_images: RealScores
    ranks: _containers.RepeatedCompositeFieldContainer[RankElsewhere]
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., picture: _Optional[bytes] = ..., image: _Optional[_Union[Tensor, _Mapping]] = ..., objective: _Optional[_Union[Tensor, _Mapping]] = ..., reached: _Optional[_Union[Prediction, _Mapping]] = ..., feature_error: _Optional[float] = ..., pixel_error: _Optional[float] = ..., others: _Optional[_Iterable[_Union[OtherPicture, _Mapping]]] = ..., animation: _Optional[bytes] = ..., partial: bool = ..., note: _Optional[str] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., target: _Optional[_Union[Prediction, _Mapping]] = ..., confidence: _Optional[float] = ..., fooled: bool = ..., evaluations: _Optional[int] = ..., generations: _Optional[int] = ..., noise: _Optional[_Union[BestOfNoise, _Mapping]] = ..., score: _Optional[float] = ..., softmax: _Optional[_Union[BothClimbed, _Mapping]] = ..., real_images: _Optional[_Union[RealScores, _Mapping]] = ..., ranks: _Optional[_Iterable[_Union[RankElsewhere, _Mapping]]] = ...) -> None: ...

class BothClimbed(_message.Message):
    __slots__ = ("by_score", "by_probability", "picture")
    BY_SCORE_FIELD_NUMBER: _ClassVar[int]
    BY_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    by_score: Climbed
    by_probability: Climbed
    picture: bytes
    def __init__(self, by_score: _Optional[_Union[Climbed, _Mapping]] = ..., by_probability: _Optional[_Union[Climbed, _Mapping]] = ..., picture: _Optional[bytes] = ...) -> None: ...

class Climbed(_message.Message):
    __slots__ = ("logit", "probability")
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    logit: float
    probability: float
    def __init__(self, logit: _Optional[float] = ..., probability: _Optional[float] = ...) -> None: ...

class RealScores(_message.Message):
    __slots__ = ("scores", "below")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    BELOW_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    below: int
    def __init__(self, scores: _Optional[_Iterable[float]] = ..., below: _Optional[int] = ...) -> None: ...

class RankElsewhere(_message.Message):
    __slots__ = ("model", "rank")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    model: str
    rank: int
    def __init__(self, model: _Optional[str] = ..., rank: _Optional[int] = ...) -> None: ...

class OtherPicture(_message.Message):
    __slots__ = ("picture", "image", "objective", "reached", "feature_error", "pixel_error")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    REACHED_FIELD_NUMBER: _ClassVar[int]
    FEATURE_ERROR_FIELD_NUMBER: _ClassVar[int]
    PIXEL_ERROR_FIELD_NUMBER: _ClassVar[int]
    picture: bytes
    image: Tensor
    objective: Tensor
    reached: Prediction
    feature_error: float
    pixel_error: float
    def __init__(self, picture: _Optional[bytes] = ..., image: _Optional[_Union[Tensor, _Mapping]] = ..., objective: _Optional[_Union[Tensor, _Mapping]] = ..., reached: _Optional[_Union[Prediction, _Mapping]] = ..., feature_error: _Optional[float] = ..., pixel_error: _Optional[float] = ...) -> None: ...

class BestOfNoise(_message.Message):
    __slots__ = ("images", "confidence")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    images: int
    confidence: float
    def __init__(self, images: _Optional[int] = ..., confidence: _Optional[float] = ...) -> None: ...

class InversionEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: InversionResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[InversionResponse, _Mapping]] = ...) -> None: ...

class UnitsRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: UnitsParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[UnitsParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class UnitsParameters(_message.Message):
    __slots__ = ("filters", "activations", "top_patches", "neighbors", "embedding", "dissection", "deconv")
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    TOP_PATCHES_FIELD_NUMBER: _ClassVar[int]
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    DISSECTION_FIELD_NUMBER: _ClassVar[int]
    DECONV_FIELD_NUMBER: _ClassVar[int]
    filters: FiltersParameters
    activations: ActivationsParameters
    top_patches: TopPatchesParameters
    neighbors: NeighborsParameters
    embedding: EmbeddingParameters
    dissection: DissectionParameters
    deconv: DeconvParameters
    def __init__(self, filters: _Optional[_Union[FiltersParameters, _Mapping]] = ..., activations: _Optional[_Union[ActivationsParameters, _Mapping]] = ..., top_patches: _Optional[_Union[TopPatchesParameters, _Mapping]] = ..., neighbors: _Optional[_Union[NeighborsParameters, _Mapping]] = ..., embedding: _Optional[_Union[EmbeddingParameters, _Mapping]] = ..., dissection: _Optional[_Union[DissectionParameters, _Mapping]] = ..., deconv: _Optional[_Union[DeconvParameters, _Mapping]] = ...) -> None: ...

class FiltersParameters(_message.Message):
    __slots__ = ("layer",)
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: str
    def __init__(self, layer: _Optional[str] = ...) -> None: ...

class ActivationsParameters(_message.Message):
    __slots__ = ("layer", "unit")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    layer: str
    unit: int
    def __init__(self, layer: _Optional[str] = ..., unit: _Optional[int] = ...) -> None: ...

class TopPatchesParameters(_message.Message):
    __slots__ = ("layer", "unit", "count")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    layer: str
    unit: int
    count: int
    def __init__(self, layer: _Optional[str] = ..., unit: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class NeighborsParameters(_message.Message):
    __slots__ = ("layer", "metric", "count", "averaged")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    AVERAGED_FIELD_NUMBER: _ClassVar[int]
    layer: str
    metric: Metric
    count: int
    averaged: bool
    def __init__(self, layer: _Optional[str] = ..., metric: _Optional[_Union[Metric, str]] = ..., count: _Optional[int] = ..., averaged: bool = ...) -> None: ...

class EmbeddingParameters(_message.Message):
    __slots__ = ("layer", "perplexity", "averaged")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    AVERAGED_FIELD_NUMBER: _ClassVar[int]
    layer: str
    perplexity: float
    averaged: bool
    def __init__(self, layer: _Optional[str] = ..., perplexity: _Optional[float] = ..., averaged: bool = ...) -> None: ...

class DissectionParameters(_message.Message):
    __slots__ = ("masks", "concepts", "layer", "quantile", "iou")
    MASKS_FIELD_NUMBER: _ClassVar[int]
    CONCEPTS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    QUANTILE_FIELD_NUMBER: _ClassVar[int]
    IOU_FIELD_NUMBER: _ClassVar[int]
    masks: _containers.RepeatedCompositeFieldContainer[Image]
    concepts: _containers.RepeatedScalarFieldContainer[str]
    layer: str
    quantile: float
    iou: float
    def __init__(self, masks: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., concepts: _Optional[_Iterable[str]] = ..., layer: _Optional[str] = ..., quantile: _Optional[float] = ..., iou: _Optional[float] = ...) -> None: ...

class DeconvParameters(_message.Message):
    __slots__ = ("layer", "unit")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    layer: str
    unit: int
    def __init__(self, layer: _Optional[str] = ..., unit: _Optional[int] = ...) -> None: ...

class UnitsResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed", "summary")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: UnitsParameters
    results: _containers.RepeatedCompositeFieldContainer[UnitsResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    summary: UnitsSummary
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[UnitsParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[UnitsResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ..., summary: _Optional[_Union[UnitsSummary, _Mapping]] = ...) -> None: ...

class UnitsResult(_message.Message):
    __slots__ = ("prediction", "geometry", "maps", "strongest", "neighbors", "picture", "coordinates", "unit", "activation", "place", "box", "projection", "gradient", "correlation")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    STRONGEST_FIELD_NUMBER: _ClassVar[int]
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    geometry: Geometry
    maps: Tensor
    strongest: _containers.RepeatedCompositeFieldContainer[ExcitedUnit]
    neighbors: _containers.RepeatedCompositeFieldContainer[Neighbor]
    picture: bytes
    coordinates: _containers.RepeatedScalarFieldContainer[float]
    unit: int
    activation: float
    place: _containers.RepeatedScalarFieldContainer[int]
    box: _containers.RepeatedScalarFieldContainer[int]
    projection: Tensor
    gradient: Tensor
    correlation: float
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., maps: _Optional[_Union[Tensor, _Mapping]] = ..., strongest: _Optional[_Iterable[_Union[ExcitedUnit, _Mapping]]] = ..., neighbors: _Optional[_Iterable[_Union[Neighbor, _Mapping]]] = ..., picture: _Optional[bytes] = ..., coordinates: _Optional[_Iterable[float]] = ..., unit: _Optional[int] = ..., activation: _Optional[float] = ..., place: _Optional[_Iterable[int]] = ..., box: _Optional[_Iterable[int]] = ..., projection: _Optional[_Union[Tensor, _Mapping]] = ..., gradient: _Optional[_Union[Tensor, _Mapping]] = ..., correlation: _Optional[float] = ...) -> None: ...

class ExcitedUnit(_message.Message):
    __slots__ = ("unit", "activation", "place")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    unit: int
    activation: float
    place: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, unit: _Optional[int] = ..., activation: _Optional[float] = ..., place: _Optional[_Iterable[int]] = ...) -> None: ...

class Neighbor(_message.Message):
    __slots__ = ("image", "distance")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    image: int
    distance: float
    def __init__(self, image: _Optional[int] = ..., distance: _Optional[float] = ...) -> None: ...

class UnitsSummary(_message.Message):
    __slots__ = ("view", "layer", "unit", "images", "picture", "weights", "field", "units", "features", "metric", "partial", "note", "perplexity", "divergence", "trustworthiness", "quantile", "iou_above", "iou", "detectors", "histogram", "pixels", "examples")
    class HistogramEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class PixelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    VIEW_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    DIVERGENCE_FIELD_NUMBER: _ClassVar[int]
    TRUSTWORTHINESS_FIELD_NUMBER: _ClassVar[int]
    QUANTILE_FIELD_NUMBER: _ClassVar[int]
    IOU_ABOVE_FIELD_NUMBER: _ClassVar[int]
    IOU_FIELD_NUMBER: _ClassVar[int]
    DETECTORS_FIELD_NUMBER: _ClassVar[int]
    HISTOGRAM_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    view: str
    layer: str
    unit: int
    images: int
    picture: bytes
    weights: Tensor
    field: _containers.RepeatedScalarFieldContainer[int]
    units: _containers.RepeatedCompositeFieldContainer[UnitFound]
    features: int
    metric: Metric
    partial: bool
    note: str
    perplexity: float
    divergence: float
    trustworthiness: float
    quantile: float
    iou_above: float
    iou: Tensor
    detectors: int
    histogram: _containers.ScalarMap[str, int]
    pixels: _containers.ScalarMap[str, int]
    examples: _containers.RepeatedCompositeFieldContainer[UnitExamples]
    def __init__(self, view: _Optional[str] = ..., layer: _Optional[str] = ..., unit: _Optional[int] = ..., images: _Optional[int] = ..., picture: _Optional[bytes] = ..., weights: _Optional[_Union[Tensor, _Mapping]] = ..., field: _Optional[_Iterable[int]] = ..., units: _Optional[_Iterable[_Union[UnitFound, _Mapping]]] = ..., features: _Optional[int] = ..., metric: _Optional[_Union[Metric, str]] = ..., partial: bool = ..., note: _Optional[str] = ..., perplexity: _Optional[float] = ..., divergence: _Optional[float] = ..., trustworthiness: _Optional[float] = ..., quantile: _Optional[float] = ..., iou_above: _Optional[float] = ..., iou: _Optional[_Union[Tensor, _Mapping]] = ..., detectors: _Optional[int] = ..., histogram: _Optional[_Mapping[str, int]] = ..., pixels: _Optional[_Mapping[str, int]] = ..., examples: _Optional[_Iterable[_Union[UnitExamples, _Mapping]]] = ...) -> None: ...

class UnitExamples(_message.Message):
    __slots__ = ("unit", "images", "high")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    unit: int
    images: _containers.RepeatedScalarFieldContainer[int]
    high: Tensor
    def __init__(self, unit: _Optional[int] = ..., images: _Optional[_Iterable[int]] = ..., high: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class UnitFound(_message.Message):
    __slots__ = ("unit", "patches", "threshold", "concept", "iou", "detector")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PATCHES_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CONCEPT_FIELD_NUMBER: _ClassVar[int]
    IOU_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    unit: int
    patches: _containers.RepeatedCompositeFieldContainer[UnitPatch]
    threshold: float
    concept: str
    iou: float
    detector: bool
    def __init__(self, unit: _Optional[int] = ..., patches: _Optional[_Iterable[_Union[UnitPatch, _Mapping]]] = ..., threshold: _Optional[float] = ..., concept: _Optional[str] = ..., iou: _Optional[float] = ..., detector: bool = ...) -> None: ...

class UnitPatch(_message.Message):
    __slots__ = ("image", "activation", "place", "box")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    image: int
    activation: float
    place: _containers.RepeatedScalarFieldContainer[int]
    box: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, image: _Optional[int] = ..., activation: _Optional[float] = ..., place: _Optional[_Iterable[int]] = ..., box: _Optional[_Iterable[int]] = ...) -> None: ...

class UnitsEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: UnitsResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[UnitsResponse, _Mapping]] = ...) -> None: ...

class RobustnessRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: RobustnessParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[RobustnessParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class RobustnessParameters(_message.Message):
    __slots__ = ("labels", "methods", "epsilons", "norm", "checks", "defense", "draws", "models")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    EPSILONS_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    DEFENSE_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[ClassReference]
    methods: _containers.RepeatedCompositeFieldContainer[AttackParameters]
    epsilons: _containers.RepeatedScalarFieldContainer[float]
    norm: Norm
    checks: bool
    defense: _containers.RepeatedCompositeFieldContainer[Defense]
    draws: int
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, labels: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., methods: _Optional[_Iterable[_Union[AttackParameters, _Mapping]]] = ..., epsilons: _Optional[_Iterable[float]] = ..., norm: _Optional[_Union[Norm, str]] = ..., checks: bool = ..., defense: _Optional[_Iterable[_Union[Defense, _Mapping]]] = ..., draws: _Optional[int] = ..., models: _Optional[_Iterable[str]] = ...) -> None: ...

class RobustnessResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed", "summary")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: RobustnessParameters
    results: _containers.RepeatedCompositeFieldContainer[RobustnessResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    summary: RobustnessSummary
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[RobustnessParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[RobustnessResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ..., summary: _Optional[_Union[RobustnessSummary, _Mapping]] = ...) -> None: ...

class RobustnessResult(_message.Message):
    __slots__ = ("prediction", "label", "correct", "correct_top5", "epsilons", "checks", "partial", "geometry", "lines", "transfer")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    CORRECT_TOP5_FIELD_NUMBER: _ClassVar[int]
    EPSILONS_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    label: Prediction
    correct: bool
    correct_top5: bool
    epsilons: _containers.RepeatedCompositeFieldContainer[RobustnessAt]
    checks: RobustnessTrials
    partial: bool
    geometry: Geometry
    lines: _containers.RepeatedCompositeFieldContainer[RobustnessLine]
    transfer: _containers.RepeatedCompositeFieldContainer[TransferTrial]
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., label: _Optional[_Union[Prediction, _Mapping]] = ..., correct: bool = ..., correct_top5: bool = ..., epsilons: _Optional[_Iterable[_Union[RobustnessAt, _Mapping]]] = ..., checks: _Optional[_Union[RobustnessTrials, _Mapping]] = ..., partial: bool = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[RobustnessLine, _Mapping]]] = ..., transfer: _Optional[_Iterable[_Union[TransferTrial, _Mapping]]] = ...) -> None: ...

class RobustnessLine(_message.Message):
    __slots__ = ("name", "correct", "correct_top5", "epsilons")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    CORRECT_TOP5_FIELD_NUMBER: _ClassVar[int]
    EPSILONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    correct: bool
    correct_top5: bool
    epsilons: _containers.RepeatedCompositeFieldContainer[RobustnessAt]
    def __init__(self, name: _Optional[str] = ..., correct: bool = ..., correct_top5: bool = ..., epsilons: _Optional[_Iterable[_Union[RobustnessAt, _Mapping]]] = ...) -> None: ...

class TransferTrial(_message.Message):
    __slots__ = ("made_on", "tried_on", "correct", "fooled")
    MADE_ON_FIELD_NUMBER: _ClassVar[int]
    TRIED_ON_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    FOOLED_FIELD_NUMBER: _ClassVar[int]
    made_on: str
    tried_on: str
    correct: bool
    fooled: bool
    def __init__(self, made_on: _Optional[str] = ..., tried_on: _Optional[str] = ..., correct: bool = ..., fooled: bool = ...) -> None: ...

class RobustnessAt(_message.Message):
    __slots__ = ("epsilon", "robust", "robust_top5", "broken_by", "distance", "tried")
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    ROBUST_FIELD_NUMBER: _ClassVar[int]
    ROBUST_TOP5_FIELD_NUMBER: _ClassVar[int]
    BROKEN_BY_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    TRIED_FIELD_NUMBER: _ClassVar[int]
    epsilon: float
    robust: bool
    robust_top5: bool
    broken_by: str
    distance: float
    tried: bool
    def __init__(self, epsilon: _Optional[float] = ..., robust: bool = ..., robust_top5: bool = ..., broken_by: _Optional[str] = ..., distance: _Optional[float] = ..., tried: bool = ...) -> None: ...

class RobustnessTrials(_message.Message):
    __slots__ = ("gradient", "one_step", "few_steps", "many_steps", "black_box", "unbounded")
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    ONE_STEP_FIELD_NUMBER: _ClassVar[int]
    FEW_STEPS_FIELD_NUMBER: _ClassVar[int]
    MANY_STEPS_FIELD_NUMBER: _ClassVar[int]
    BLACK_BOX_FIELD_NUMBER: _ClassVar[int]
    UNBOUNDED_FIELD_NUMBER: _ClassVar[int]
    gradient: float
    one_step: _containers.RepeatedScalarFieldContainer[bool]
    few_steps: _containers.RepeatedScalarFieldContainer[bool]
    many_steps: _containers.RepeatedScalarFieldContainer[bool]
    black_box: _containers.RepeatedScalarFieldContainer[bool]
    unbounded: bool
    def __init__(self, gradient: _Optional[float] = ..., one_step: _Optional[_Iterable[bool]] = ..., few_steps: _Optional[_Iterable[bool]] = ..., many_steps: _Optional[_Iterable[bool]] = ..., black_box: _Optional[_Iterable[bool]] = ..., unbounded: bool = ...) -> None: ...

class RobustnessSummary(_message.Message):
    __slots__ = ("images", "partial_images", "norm", "clean", "accuracy", "note", "checks", "failed_checks", "chart", "lines", "transfer")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_IMAGES_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    CLEAN_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    FAILED_CHECKS_FIELD_NUMBER: _ClassVar[int]
    CHART_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    images: int
    partial_images: int
    norm: Norm
    clean: Accuracy
    accuracy: _containers.RepeatedCompositeFieldContainer[AccuracyAt]
    note: str
    checks: _containers.RepeatedCompositeFieldContainer[RobustnessCheck]
    failed_checks: _containers.RepeatedScalarFieldContainer[str]
    chart: bytes
    lines: _containers.RepeatedCompositeFieldContainer[AccuracyLine]
    transfer: TransferMatrix
    def __init__(self, images: _Optional[int] = ..., partial_images: _Optional[int] = ..., norm: _Optional[_Union[Norm, str]] = ..., clean: _Optional[_Union[Accuracy, _Mapping]] = ..., accuracy: _Optional[_Iterable[_Union[AccuracyAt, _Mapping]]] = ..., note: _Optional[str] = ..., checks: _Optional[_Iterable[_Union[RobustnessCheck, _Mapping]]] = ..., failed_checks: _Optional[_Iterable[str]] = ..., chart: _Optional[bytes] = ..., lines: _Optional[_Iterable[_Union[AccuracyLine, _Mapping]]] = ..., transfer: _Optional[_Union[TransferMatrix, _Mapping]] = ...) -> None: ...

class AccuracyLine(_message.Message):
    __slots__ = ("name", "clean", "accuracy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLEAN_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    name: str
    clean: Accuracy
    accuracy: _containers.RepeatedCompositeFieldContainer[AccuracyAt]
    def __init__(self, name: _Optional[str] = ..., clean: _Optional[_Union[Accuracy, _Mapping]] = ..., accuracy: _Optional[_Iterable[_Union[AccuracyAt, _Mapping]]] = ...) -> None: ...

class TransferMatrix(_message.Message):
    __slots__ = ("method", "epsilon", "cells")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    method: str
    epsilon: float
    cells: _containers.RepeatedCompositeFieldContainer[TransferCell]
    def __init__(self, method: _Optional[str] = ..., epsilon: _Optional[float] = ..., cells: _Optional[_Iterable[_Union[TransferCell, _Mapping]]] = ...) -> None: ...

class TransferCell(_message.Message):
    __slots__ = ("made_on", "tried_on", "fooled")
    MADE_ON_FIELD_NUMBER: _ClassVar[int]
    TRIED_ON_FIELD_NUMBER: _ClassVar[int]
    FOOLED_FIELD_NUMBER: _ClassVar[int]
    made_on: str
    tried_on: str
    fooled: Share
    def __init__(self, made_on: _Optional[str] = ..., tried_on: _Optional[str] = ..., fooled: _Optional[_Union[Share, _Mapping]] = ...) -> None: ...

class Accuracy(_message.Message):
    __slots__ = ("top1", "top5")
    TOP1_FIELD_NUMBER: _ClassVar[int]
    TOP5_FIELD_NUMBER: _ClassVar[int]
    top1: Share
    top5: Share
    def __init__(self, top1: _Optional[_Union[Share, _Mapping]] = ..., top5: _Optional[_Union[Share, _Mapping]] = ...) -> None: ...

class AccuracyAt(_message.Message):
    __slots__ = ("epsilon", "top1", "top5", "broken_by", "untried")
    class BrokenByEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    TOP1_FIELD_NUMBER: _ClassVar[int]
    TOP5_FIELD_NUMBER: _ClassVar[int]
    BROKEN_BY_FIELD_NUMBER: _ClassVar[int]
    UNTRIED_FIELD_NUMBER: _ClassVar[int]
    epsilon: float
    top1: Share
    top5: Share
    broken_by: _containers.ScalarMap[str, int]
    untried: int
    def __init__(self, epsilon: _Optional[float] = ..., top1: _Optional[_Union[Share, _Mapping]] = ..., top5: _Optional[_Union[Share, _Mapping]] = ..., broken_by: _Optional[_Mapping[str, int]] = ..., untried: _Optional[int] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("value", "low", "high", "count", "of")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    count: int
    of: int
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., count: _Optional[int] = ..., of: _Optional[int] = ...) -> None: ...

class RobustnessCheck(_message.Message):
    __slots__ = ("name", "passed", "detail", "comparisons")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    COMPARISONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    passed: bool
    detail: str
    comparisons: _containers.RepeatedCompositeFieldContainer[RobustnessComparison]
    def __init__(self, name: _Optional[str] = ..., passed: bool = ..., detail: _Optional[str] = ..., comparisons: _Optional[_Iterable[_Union[RobustnessComparison, _Mapping]]] = ...) -> None: ...

class RobustnessComparison(_message.Message):
    __slots__ = ("epsilon", "share", "against")
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    epsilon: float
    share: Share
    against: Share
    def __init__(self, epsilon: _Optional[float] = ..., share: _Optional[_Union[Share, _Mapping]] = ..., against: _Optional[_Union[Share, _Mapping]] = ...) -> None: ...

class RobustnessEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: RobustnessResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[RobustnessResponse, _Mapping]] = ...) -> None: ...

class UniversalRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: UniversalParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[UniversalParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class UniversalParameters(_message.Message):
    __slots__ = ("holdout", "image_counts", "models", "deepfool", "gradient")
    HOLDOUT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEEPFOOL_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    holdout: float
    image_counts: _containers.RepeatedScalarFieldContainer[int]
    models: _containers.RepeatedScalarFieldContainer[str]
    deepfool: UniversalDeepfoolParameters
    gradient: UniversalGradientParameters
    def __init__(self, holdout: _Optional[float] = ..., image_counts: _Optional[_Iterable[int]] = ..., models: _Optional[_Iterable[str]] = ..., deepfool: _Optional[_Union[UniversalDeepfoolParameters, _Mapping]] = ..., gradient: _Optional[_Union[UniversalGradientParameters, _Mapping]] = ...) -> None: ...

class UniversalDeepfoolParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "fooling_rate", "epochs", "candidates", "overshoot", "steps")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    FOOLING_RATE_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    OVERSHOOT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    fooling_rate: float
    epochs: int
    candidates: int
    overshoot: float
    steps: int
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., fooling_rate: _Optional[float] = ..., epochs: _Optional[int] = ..., candidates: _Optional[int] = ..., overshoot: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class UniversalGradientParameters(_message.Message):
    __slots__ = ("norm", "epsilon", "step_size", "epochs", "batch_size", "restarts")
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STEP_SIZE_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    norm: Norm
    epsilon: float
    step_size: float
    epochs: int
    batch_size: int
    restarts: int
    def __init__(self, norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., step_size: _Optional[float] = ..., epochs: _Optional[int] = ..., batch_size: _Optional[int] = ..., restarts: _Optional[int] = ...) -> None: ...

class UniversalResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed", "summary")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: UniversalParameters
    results: _containers.RepeatedCompositeFieldContainer[UniversalResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    summary: UniversalSummary
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[UniversalParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[UniversalResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ..., summary: _Optional[_Union[UniversalSummary, _Mapping]] = ...) -> None: ...

class UniversalResult(_message.Message):
    __slots__ = ("prediction", "after", "fooled", "held_out", "geometry")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    FOOLED_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    after: Prediction
    fooled: bool
    held_out: bool
    geometry: Geometry
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., after: _Optional[_Union[Prediction, _Mapping]] = ..., fooled: bool = ..., held_out: bool = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ...) -> None: ...

class UniversalSummary(_message.Message):
    __slots__ = ("perturbation", "picture", "factor", "id", "norm", "epsilon", "distance", "given", "held_out", "noise", "curve", "chart", "transfer", "partial")
    PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    CHART_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    perturbation: Tensor
    picture: bytes
    factor: float
    id: str
    norm: Norm
    epsilon: float
    distance: Distance
    given: FoolingRate
    held_out: FoolingRate
    noise: FoolingRate
    curve: _containers.RepeatedCompositeFieldContainer[UniversalPoint]
    chart: bytes
    transfer: _containers.RepeatedCompositeFieldContainer[UniversalTransfer]
    partial: bool
    def __init__(self, perturbation: _Optional[_Union[Tensor, _Mapping]] = ..., picture: _Optional[bytes] = ..., factor: _Optional[float] = ..., id: _Optional[str] = ..., norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., distance: _Optional[_Union[Distance, _Mapping]] = ..., given: _Optional[_Union[FoolingRate, _Mapping]] = ..., held_out: _Optional[_Union[FoolingRate, _Mapping]] = ..., noise: _Optional[_Union[FoolingRate, _Mapping]] = ..., curve: _Optional[_Iterable[_Union[UniversalPoint, _Mapping]]] = ..., chart: _Optional[bytes] = ..., transfer: _Optional[_Iterable[_Union[UniversalTransfer, _Mapping]]] = ..., partial: bool = ...) -> None: ...

class FoolingRate(_message.Message):
    __slots__ = ("value", "low", "high", "of", "count")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    of: int
    count: int
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., of: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class UniversalPoint(_message.Message):
    __slots__ = ("images", "given", "held_out")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    images: int
    given: FoolingRate
    held_out: FoolingRate
    def __init__(self, images: _Optional[int] = ..., given: _Optional[_Union[FoolingRate, _Mapping]] = ..., held_out: _Optional[_Union[FoolingRate, _Mapping]] = ...) -> None: ...

class UniversalTransfer(_message.Message):
    __slots__ = ("model", "value", "low", "high", "of", "count")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    model: str
    value: float
    low: float
    high: float
    of: int
    count: int
    def __init__(self, model: _Optional[str] = ..., value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., of: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class UniversalEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: UniversalResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[UniversalResponse, _Mapping]] = ...) -> None: ...

class SubstituteRequest(_message.Message):
    __slots__ = ("model", "version", "images", "parameters", "include", "seed", "max_rows", "purpose", "dataset")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    parameters: SubstituteParameters
    include: Include
    seed: int
    max_rows: int
    purpose: str
    dataset: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., parameters: _Optional[_Union[SubstituteParameters, _Mapping]] = ..., include: _Optional[_Union[Include, _Mapping]] = ..., seed: _Optional[int] = ..., max_rows: _Optional[int] = ..., purpose: _Optional[str] = ..., dataset: _Optional[str] = ...) -> None: ...

class SubstituteParameters(_message.Message):
    __slots__ = ("labels", "seeds", "shuffle", "answers", "max_queries", "epsilons", "targeted", "control", "white_box", "papernot")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    SHUFFLE_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    MAX_QUERIES_FIELD_NUMBER: _ClassVar[int]
    EPSILONS_FIELD_NUMBER: _ClassVar[int]
    TARGETED_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    WHITE_BOX_FIELD_NUMBER: _ClassVar[int]
    PAPERNOT_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[ClassReference]
    seeds: int
    shuffle: bool
    answers: SubstituteAnswers
    max_queries: int
    epsilons: _containers.RepeatedScalarFieldContainer[float]
    targeted: bool
    control: bool
    white_box: bool
    papernot: PapernotParameters
    def __init__(self, labels: _Optional[_Iterable[_Union[ClassReference, _Mapping]]] = ..., seeds: _Optional[int] = ..., shuffle: bool = ..., answers: _Optional[_Union[SubstituteAnswers, str]] = ..., max_queries: _Optional[int] = ..., epsilons: _Optional[_Iterable[float]] = ..., targeted: bool = ..., control: bool = ..., white_box: bool = ..., papernot: _Optional[_Union[PapernotParameters, _Mapping]] = ...) -> None: ...

class PapernotParameters(_message.Message):
    __slots__ = ("architecture", "side", "rounds", "step", "flip_every", "doublings", "reservoir", "epochs", "learning_rate", "batch_size")
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    FLIP_EVERY_FIELD_NUMBER: _ClassVar[int]
    DOUBLINGS_FIELD_NUMBER: _ClassVar[int]
    RESERVOIR_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    architecture: Architecture
    side: int
    rounds: int
    step: float
    flip_every: int
    doublings: int
    reservoir: int
    epochs: int
    learning_rate: float
    batch_size: int
    def __init__(self, architecture: _Optional[_Union[Architecture, str]] = ..., side: _Optional[int] = ..., rounds: _Optional[int] = ..., step: _Optional[float] = ..., flip_every: _Optional[int] = ..., doublings: _Optional[int] = ..., reservoir: _Optional[int] = ..., epochs: _Optional[int] = ..., learning_rate: _Optional[float] = ..., batch_size: _Optional[int] = ...) -> None: ...

class SubstituteResponse(_message.Message):
    __slots__ = ("model", "parameters", "results", "cost", "answered_by", "elapsed_ms", "request_id", "seed", "summary")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    model: ModelReference
    parameters: SubstituteParameters
    results: _containers.RepeatedCompositeFieldContainer[SubstituteResult]
    cost: Cost
    answered_by: AnsweredBy
    elapsed_ms: float
    request_id: str
    seed: int
    summary: SubstituteSummary
    def __init__(self, model: _Optional[_Union[ModelReference, _Mapping]] = ..., parameters: _Optional[_Union[SubstituteParameters, _Mapping]] = ..., results: _Optional[_Iterable[_Union[SubstituteResult, _Mapping]]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., answered_by: _Optional[_Union[AnsweredBy, _Mapping]] = ..., elapsed_ms: _Optional[float] = ..., request_id: _Optional[str] = ..., seed: _Optional[int] = ..., summary: _Optional[_Union[SubstituteSummary, _Mapping]] = ...) -> None: ...

class SubstituteResult(_message.Message):
    __slots__ = ("prediction", "substitute", "seed", "geometry")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    SUBSTITUTE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    prediction: Prediction
    substitute: Prediction
    seed: bool
    geometry: Geometry
    def __init__(self, prediction: _Optional[_Union[Prediction, _Mapping]] = ..., substitute: _Optional[_Union[Prediction, _Mapping]] = ..., seed: bool = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ...) -> None: ...

class SubstituteSummary(_message.Message):
    __slots__ = ("id", "archive", "architecture", "side", "tells", "answers", "seeds", "held_out", "judged", "curve", "random_sign", "white_box", "white_box_note", "queries", "max_queries", "stopped_by", "partial")
    ID_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    TELLS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    RANDOM_SIGN_FIELD_NUMBER: _ClassVar[int]
    WHITE_BOX_FIELD_NUMBER: _ClassVar[int]
    WHITE_BOX_NOTE_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    MAX_QUERIES_FIELD_NUMBER: _ClassVar[int]
    STOPPED_BY_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    archive: Tensor
    architecture: str
    side: int
    tells: str
    answers: str
    seeds: int
    held_out: int
    judged: int
    curve: _containers.RepeatedCompositeFieldContainer[SubstitutePoint]
    random_sign: _containers.RepeatedCompositeFieldContainer[SubstitutePoint]
    white_box: _containers.RepeatedCompositeFieldContainer[SubstituteTransfer]
    white_box_note: str
    queries: SubstituteQueries
    max_queries: int
    stopped_by: str
    partial: bool
    def __init__(self, id: _Optional[str] = ..., archive: _Optional[_Union[Tensor, _Mapping]] = ..., architecture: _Optional[str] = ..., side: _Optional[int] = ..., tells: _Optional[str] = ..., answers: _Optional[str] = ..., seeds: _Optional[int] = ..., held_out: _Optional[int] = ..., judged: _Optional[int] = ..., curve: _Optional[_Iterable[_Union[SubstitutePoint, _Mapping]]] = ..., random_sign: _Optional[_Iterable[_Union[SubstitutePoint, _Mapping]]] = ..., white_box: _Optional[_Iterable[_Union[SubstituteTransfer, _Mapping]]] = ..., white_box_note: _Optional[str] = ..., queries: _Optional[_Union[SubstituteQueries, _Mapping]] = ..., max_queries: _Optional[int] = ..., stopped_by: _Optional[str] = ..., partial: bool = ...) -> None: ...

class SubstitutePoint(_message.Message):
    __slots__ = ("round", "queries", "agreement", "transfer")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    round: int
    queries: int
    agreement: Share
    transfer: _containers.RepeatedCompositeFieldContainer[SubstituteTransfer]
    def __init__(self, round: _Optional[int] = ..., queries: _Optional[int] = ..., agreement: _Optional[_Union[Share, _Mapping]] = ..., transfer: _Optional[_Iterable[_Union[SubstituteTransfer, _Mapping]]] = ...) -> None: ...

class SubstituteTransfer(_message.Message):
    __slots__ = ("epsilon", "attack", "targeted", "fooled")
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    ATTACK_FIELD_NUMBER: _ClassVar[int]
    TARGETED_FIELD_NUMBER: _ClassVar[int]
    FOOLED_FIELD_NUMBER: _ClassVar[int]
    epsilon: float
    attack: str
    targeted: bool
    fooled: Share
    def __init__(self, epsilon: _Optional[float] = ..., attack: _Optional[str] = ..., targeted: bool = ..., fooled: _Optional[_Union[Share, _Mapping]] = ...) -> None: ...

class SubstituteQueries(_message.Message):
    __slots__ = ("training", "evaluation", "control")
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    training: int
    evaluation: int
    control: int
    def __init__(self, training: _Optional[int] = ..., evaluation: _Optional[int] = ..., control: _Optional[int] = ...) -> None: ...

class SubstituteEvent(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: SubstituteResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[SubstituteResponse, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("name", "version", "versions", "sha256", "provenance", "input", "differentiable", "labels", "layers", "operations", "limits", "detector")
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
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
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
    detector: Detector
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ..., sha256: _Optional[str] = ..., provenance: _Optional[str] = ..., input: _Optional[_Union[Input, _Mapping]] = ..., differentiable: bool = ..., labels: _Optional[_Iterable[str]] = ..., layers: _Optional[_Iterable[_Union[Layer, _Mapping]]] = ..., operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., detector: _Optional[_Union[Detector, _Mapping]] = ...) -> None: ...

class Detector(_message.Message):
    __slots__ = ("false_positive_rate",)
    FALSE_POSITIVE_RATE_FIELD_NUMBER: _ClassVar[int]
    false_positive_rate: float
    def __init__(self, false_positive_rate: _Optional[float] = ...) -> None: ...

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
    __slots__ = ("body_bytes", "reply_bytes", "images", "image_pixels", "image_side", "request_pixels", "attack_pixels", "steps", "rows", "deadline_s", "deadline_limit_s", "maps", "runs", "masks", "job_deadline_s", "many_images", "dataset_bytes", "dataset_images", "inline_bytes")
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
    MAPS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    JOB_DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    MANY_IMAGES_FIELD_NUMBER: _ClassVar[int]
    DATASET_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATASET_IMAGES_FIELD_NUMBER: _ClassVar[int]
    INLINE_BYTES_FIELD_NUMBER: _ClassVar[int]
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
    maps: int
    runs: int
    masks: int
    job_deadline_s: float
    many_images: int
    dataset_bytes: int
    dataset_images: int
    inline_bytes: int
    def __init__(self, body_bytes: _Optional[int] = ..., reply_bytes: _Optional[int] = ..., images: _Optional[int] = ..., image_pixels: _Optional[int] = ..., image_side: _Optional[int] = ..., request_pixels: _Optional[int] = ..., attack_pixels: _Optional[int] = ..., steps: _Optional[int] = ..., rows: _Optional[int] = ..., deadline_s: _Optional[float] = ..., deadline_limit_s: _Optional[float] = ..., maps: _Optional[int] = ..., runs: _Optional[int] = ..., masks: _Optional[int] = ..., job_deadline_s: _Optional[float] = ..., many_images: _Optional[int] = ..., dataset_bytes: _Optional[int] = ..., dataset_images: _Optional[int] = ..., inline_bytes: _Optional[int] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ("idempotency_key", "deadline_s", "classify", "saliency", "occlusion", "attack", "robustness", "universal", "substitute", "inversion", "units")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    SALIENCY_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_FIELD_NUMBER: _ClassVar[int]
    ATTACK_FIELD_NUMBER: _ClassVar[int]
    ROBUSTNESS_FIELD_NUMBER: _ClassVar[int]
    UNIVERSAL_FIELD_NUMBER: _ClassVar[int]
    SUBSTITUTE_FIELD_NUMBER: _ClassVar[int]
    INVERSION_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    deadline_s: float
    classify: ClassifyRequest
    saliency: SaliencyRequest
    occlusion: OcclusionRequest
    attack: AttackRequest
    robustness: RobustnessRequest
    universal: UniversalRequest
    substitute: SubstituteRequest
    inversion: InversionRequest
    units: UnitsRequest
    def __init__(self, idempotency_key: _Optional[str] = ..., deadline_s: _Optional[float] = ..., classify: _Optional[_Union[ClassifyRequest, _Mapping]] = ..., saliency: _Optional[_Union[SaliencyRequest, _Mapping]] = ..., occlusion: _Optional[_Union[OcclusionRequest, _Mapping]] = ..., attack: _Optional[_Union[AttackRequest, _Mapping]] = ..., robustness: _Optional[_Union[RobustnessRequest, _Mapping]] = ..., universal: _Optional[_Union[UniversalRequest, _Mapping]] = ..., substitute: _Optional[_Union[SubstituteRequest, _Mapping]] = ..., inversion: _Optional[_Union[InversionRequest, _Mapping]] = ..., units: _Optional[_Union[UnitsRequest, _Mapping]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "state", "operation", "model", "method", "images", "asked", "purpose", "request_id", "attempts", "cancel_requested", "progress", "note", "problem", "created_at", "started_at", "ended_at", "expires_at", "result", "partial_result")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_RESULT_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: JobState
    operation: str
    model: ModelReference
    method: str
    images: int
    asked: str
    purpose: str
    request_id: str
    attempts: int
    cancel_requested: bool
    progress: JobProgress
    note: str
    problem: Problem
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    result: JobResult
    partial_result: JobResult
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., operation: _Optional[str] = ..., model: _Optional[_Union[ModelReference, _Mapping]] = ..., method: _Optional[str] = ..., images: _Optional[int] = ..., asked: _Optional[str] = ..., purpose: _Optional[str] = ..., request_id: _Optional[str] = ..., attempts: _Optional[int] = ..., cancel_requested: bool = ..., progress: _Optional[_Union[JobProgress, _Mapping]] = ..., note: _Optional[str] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., result: _Optional[_Union[JobResult, _Mapping]] = ..., partial_result: _Optional[_Union[JobResult, _Mapping]] = ...) -> None: ...

class JobProgress(_message.Message):
    __slots__ = ("image", "step", "of", "objective", "map", "done", "images")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    image: int
    step: int
    of: int
    objective: float
    map: int
    done: int
    images: int
    def __init__(self, image: _Optional[int] = ..., step: _Optional[int] = ..., of: _Optional[int] = ..., objective: _Optional[float] = ..., map: _Optional[int] = ..., done: _Optional[int] = ..., images: _Optional[int] = ...) -> None: ...

class JobResult(_message.Message):
    __slots__ = ("unanswered", "artifacts", "classify", "saliency", "occlusion", "attack", "robustness", "universal", "substitute", "inversion", "units")
    class ArtifactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Artifact
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Artifact, _Mapping]] = ...) -> None: ...
    UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    SALIENCY_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_FIELD_NUMBER: _ClassVar[int]
    ATTACK_FIELD_NUMBER: _ClassVar[int]
    ROBUSTNESS_FIELD_NUMBER: _ClassVar[int]
    UNIVERSAL_FIELD_NUMBER: _ClassVar[int]
    SUBSTITUTE_FIELD_NUMBER: _ClassVar[int]
    INVERSION_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    unanswered: _containers.RepeatedScalarFieldContainer[int]
    artifacts: _containers.MessageMap[str, Artifact]
    classify: ClassifyResponse
    saliency: SaliencyResponse
    occlusion: OcclusionResponse
    attack: AttackResponse
    robustness: RobustnessResponse
    universal: UniversalResponse
    substitute: SubstituteResponse
    inversion: InversionResponse
    units: UnitsResponse
    def __init__(self, unanswered: _Optional[_Iterable[int]] = ..., artifacts: _Optional[_Mapping[str, Artifact]] = ..., classify: _Optional[_Union[ClassifyResponse, _Mapping]] = ..., saliency: _Optional[_Union[SaliencyResponse, _Mapping]] = ..., occlusion: _Optional[_Union[OcclusionResponse, _Mapping]] = ..., attack: _Optional[_Union[AttackResponse, _Mapping]] = ..., robustness: _Optional[_Union[RobustnessResponse, _Mapping]] = ..., universal: _Optional[_Union[UniversalResponse, _Mapping]] = ..., substitute: _Optional[_Union[SubstituteResponse, _Mapping]] = ..., inversion: _Optional[_Union[InversionResponse, _Mapping]] = ..., units: _Optional[_Union[UnitsResponse, _Mapping]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("type", "title", "status", "detail", "code", "request_id", "errors", "retry_after_s")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: _containers.RepeatedCompositeFieldContainer[FieldError]
    retry_after_s: float
    def __init__(self, type: _Optional[str] = ..., title: _Optional[str] = ..., status: _Optional[int] = ..., detail: _Optional[str] = ..., code: _Optional[str] = ..., request_id: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[FieldError, _Mapping]]] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class FieldError(_message.Message):
    __slots__ = ("pointer", "detail")
    POINTER_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    pointer: str
    detail: str
    def __init__(self, pointer: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "state")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    state: JobState
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("id", "after")
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    after: int
    def __init__(self, id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("number", "progress", "result", "problem", "state")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    number: int
    progress: JobProgress
    result: JobResult
    problem: Problem
    state: JobState
    def __init__(self, number: _Optional[int] = ..., progress: _Optional[_Union[JobProgress, _Mapping]] = ..., result: _Optional[_Union[JobResult, _Mapping]] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ..., state: _Optional[_Union[JobState, str]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DatasetChunk(_message.Message):
    __slots__ = ("name", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    data: bytes
    def __init__(self, name: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("id", "name", "kind", "configured", "images", "classes", "bytes", "created_at", "expires_at", "problem")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    kind: str
    configured: bool
    images: int
    classes: _containers.RepeatedCompositeFieldContainer[DatasetClass]
    bytes: int
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    problem: Problem
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., configured: bool = ..., images: _Optional[int] = ..., classes: _Optional[_Iterable[_Union[DatasetClass, _Mapping]]] = ..., bytes: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ...) -> None: ...

class DatasetClass(_message.Message):
    __slots__ = ("name", "images")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    images: int
    def __init__(self, name: _Optional[str] = ..., images: _Optional[int] = ...) -> None: ...

class ListDatasetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets", "next_page_token")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    next_page_token: str
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDatasetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteDatasetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteDatasetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UniversalPerturbation(_message.Message):
    __slots__ = ("id", "model", "method", "norm", "epsilon", "shape", "given", "held_out", "job", "perturbation", "created_at", "expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: ModelReference
    method: str
    norm: Norm
    epsilon: float
    shape: _containers.RepeatedScalarFieldContainer[int]
    given: FoolingRate
    held_out: FoolingRate
    job: str
    perturbation: Artifact
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., model: _Optional[_Union[ModelReference, _Mapping]] = ..., method: _Optional[str] = ..., norm: _Optional[_Union[Norm, str]] = ..., epsilon: _Optional[float] = ..., shape: _Optional[_Iterable[int]] = ..., given: _Optional[_Union[FoolingRate, _Mapping]] = ..., held_out: _Optional[_Union[FoolingRate, _Mapping]] = ..., job: _Optional[str] = ..., perturbation: _Optional[_Union[Artifact, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPerturbationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPerturbationsResponse(_message.Message):
    __slots__ = ("perturbations", "next_page_token")
    PERTURBATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    perturbations: _containers.RepeatedCompositeFieldContainer[UniversalPerturbation]
    next_page_token: str
    def __init__(self, perturbations: _Optional[_Iterable[_Union[UniversalPerturbation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPerturbationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeletePerturbationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeletePerturbationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class KeptSubstitute(_message.Message):
    __slots__ = ("id", "model", "architecture", "queries", "agreement", "job", "archive", "created_at", "expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: ModelReference
    architecture: str
    queries: int
    agreement: Share
    job: str
    archive: Artifact
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., model: _Optional[_Union[ModelReference, _Mapping]] = ..., architecture: _Optional[str] = ..., queries: _Optional[int] = ..., agreement: _Optional[_Union[Share, _Mapping]] = ..., job: _Optional[str] = ..., archive: _Optional[_Union[Artifact, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListSubstitutesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSubstitutesResponse(_message.Message):
    __slots__ = ("substitutes", "next_page_token")
    SUBSTITUTES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    substitutes: _containers.RepeatedCompositeFieldContainer[KeptSubstitute]
    next_page_token: str
    def __init__(self, substitutes: _Optional[_Iterable[_Union[KeptSubstitute, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSubstituteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteSubstituteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteSubstituteResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("sha256", "bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    bytes: int
    def __init__(self, sha256: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class GetArtifactRequest(_message.Message):
    __slots__ = ("sha256",)
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    def __init__(self, sha256: _Optional[str] = ...) -> None: ...

class ArtifactChunk(_message.Message):
    __slots__ = ("media_type", "bytes", "data")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    bytes: int
    data: bytes
    def __init__(self, media_type: _Optional[str] = ..., bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class CreateKeyRequest(_message.Message):
    __slots__ = ("name", "scopes", "view", "top_k", "budget", "rate", "response", "expires_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    view: View
    top_k: int
    budget: int
    rate: int
    response: KeyResponse
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., view: _Optional[_Union[View, str]] = ..., top_k: _Optional[int] = ..., budget: _Optional[int] = ..., rate: _Optional[int] = ..., response: _Optional[_Union[KeyResponse, str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateKeyResponse(_message.Message):
    __slots__ = ("key", "secret")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    key: Key
    secret: str
    def __init__(self, key: _Optional[_Union[Key, _Mapping]] = ..., secret: _Optional[str] = ...) -> None: ...

class Key(_message.Message):
    __slots__ = ("id", "name", "scopes", "view", "top_k", "budget", "spent", "rate", "response", "noticed", "created_at", "expires_at", "revoked_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    NOTICED_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    view: View
    top_k: int
    budget: int
    spent: int
    rate: int
    response: KeyResponse
    noticed: KeyNotice
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    revoked_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., view: _Optional[_Union[View, str]] = ..., top_k: _Optional[int] = ..., budget: _Optional[int] = ..., spent: _Optional[int] = ..., rate: _Optional[int] = ..., response: _Optional[_Union[KeyResponse, str]] = ..., noticed: _Optional[_Union[KeyNotice, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class KeyNotice(_message.Message):
    __slots__ = ("at", "queries", "score", "times", "over")
    AT_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    queries: int
    score: float
    times: int
    over: bool
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., queries: _Optional[int] = ..., score: _Optional[float] = ..., times: _Optional[int] = ..., over: bool = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys", "next_page_token")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[Key]
    next_page_token: str
    def __init__(self, keys: _Optional[_Iterable[_Union[Key, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetKeyRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class TopUpKeyRequest(_message.Message):
    __slots__ = ("id", "images")
    ID_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    id: str
    images: int
    def __init__(self, id: _Optional[str] = ..., images: _Optional[int] = ...) -> None: ...

class ClearKeyRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RevokeKeyRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class LedgerEntry(_message.Message):
    __slots__ = ("id", "at", "key", "caller", "operation", "model", "method", "purpose", "request_id", "idempotency_key", "image", "sha256", "dataset", "kept", "charged")
    ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    CHARGED_FIELD_NUMBER: _ClassVar[int]
    id: str
    at: _timestamp_pb2.Timestamp
    key: str
    caller: str
    operation: str
    model: ModelReference
    method: str
    purpose: str
    request_id: str
    idempotency_key: str
    image: int
    sha256: str
    dataset: str
    kept: str
    charged: bool
    def __init__(self, id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., key: _Optional[str] = ..., caller: _Optional[str] = ..., operation: _Optional[str] = ..., model: _Optional[_Union[ModelReference, _Mapping]] = ..., method: _Optional[str] = ..., purpose: _Optional[str] = ..., request_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., image: _Optional[int] = ..., sha256: _Optional[str] = ..., dataset: _Optional[str] = ..., kept: _Optional[str] = ..., charged: bool = ...) -> None: ...

class ListLedgerRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "key", "operation", "since")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    key: str
    operation: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., key: _Optional[str] = ..., operation: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListLedgerResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[LedgerEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[LedgerEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExportLedgerRequest(_message.Message):
    __slots__ = ("key", "operation", "since")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    key: str
    operation: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., operation: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
