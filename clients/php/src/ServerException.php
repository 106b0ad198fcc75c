<?php

declare(strict_types=1);

namespace Cascade;

/** 5xx, even after the retries. */
final class ServerException extends ApiException
{
}
